from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.integration.text.tiny import make_model


@pytest.fixture(scope="session")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny language model that nobody changes."""
    return make_model(tmp_path_factory.mktemp("base") / "base")


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project folder to work in."""
    monkeypatch.chdir(tmp_path)
    os.makedirs("job")
    return tmp_path
