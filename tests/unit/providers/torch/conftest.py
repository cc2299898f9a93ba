"""A project with a table of rows and a small base model, on a machine of two cores."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.provider import Context
from mlctl.testing.harness import make_context
from tests.unit.providers.torch.trainings import SMALL


@pytest.fixture
def ctx(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    monkeypatch.setenv(DEVICE_VARIABLE, "cpu:2:16GiB")
    (tmp_path / "base").mkdir()
    (tmp_path / "base" / "config.json").write_text(json.dumps(SMALL))
    (tmp_path / "rows.jsonl").write_text("x" * 100_000)
    return make_context(tmp_path)
