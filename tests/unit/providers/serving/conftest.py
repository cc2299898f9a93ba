"""A project on a machine with one H100."""

from __future__ import annotations

from pathlib import Path

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.provider import Context
from mlctl.testing.harness import make_context


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100")
    return make_context(tmp_path)
