"""Whole commands on small projects, told as stories in `output.txt`. `make golden` writes them anew; read the diff."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.scenarios.runner import OUTPUT, SCRIPT, Scenario

HERE = Path(__file__).parent
NAMES = sorted(path.parent.name for path in HERE.glob(f"*/{SCRIPT}"))


@pytest.mark.tools
@pytest.mark.parametrize("name", NAMES)
def test_scenario(name: str, tmp_path: Path) -> None:
    told = Scenario(HERE / name, tmp_path / "project").run()
    recorded = HERE / name / OUTPUT
    if os.environ.get("MLCTL_GOLDEN") == "write":
        recorded.write_text(told)
    assert told.splitlines() == recorded.read_text().splitlines()
