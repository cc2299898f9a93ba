"""What the guide shows of prices is what a project may write."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlctl.spec import price_files
from mlctl.workspace import Workspace

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "cost.md"


def test_the_price_list_of_the_guide_counts_in_its_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(price_files.VARIABLE, "none")
    chapter = GUIDE.read_text().split("\n## Prices\n")[1].split("\n## ")[0]
    project, listed = re.findall(r"```yaml\n(.*?)```", chapter, re.DOTALL)
    (tmp_path / "mlctl.yaml").write_text(project)
    (tmp_path / "prices.yaml").write_text(listed)
    workspace = Workspace(tmp_path)
    assert workspace.project.name == "shop"
    reserved, machine = (workspace.prices.price("H100", "reserved_1y"), workspace.prices.price("cpu", "owned"))
    assert reserved is not None
    assert machine is not None
    assert (reserved.usd.mid, machine.usd.mid) == (2.65, 0.35)
