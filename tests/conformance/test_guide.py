"""What docs/guides/providers.md shows works: its kind keeps the rules, and a project can use it once it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.conformance.conftest import GUIDE


def test_the_test_of_the_guide_passes(guide: ModuleType, tmp_path: Path) -> None:
    guide.test_a_data_card_keeps_the_rules_of_kinds(tmp_path)
    assert list(tmp_path.rglob("*.md")) == []


@pytest.mark.tools
def test_a_project_can_use_the_kind_of_the_guide(guide_folder: Path, guide_metadata: Path, tmp_path: Path) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "visits.csv").write_text("visit_id,bought\n1,0\n2,1\n3,1\n")
    (tmp_path / "mlctl.yaml").write_text(f"project: cards\ndatasets:\n  visits: {{path: visits.csv}}\n{block}")

    environment = {**os.environ, "PYTHONPATH": f"{guide_folder}{os.pathsep}{guide_metadata}"}

    def mlctl(*arguments: str) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "mlctl.cli.main", "-C", str(tmp_path), *arguments],
            capture_output=True, text=True, check=False, env=environment,
        )  # fmt: skip
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    card = tmp_path / "cards" / "visits.md"
    mlctl("apply", "--auto-approve")
    assert "3 rows: bought, visit_id" in card.read_text()
    assert "No changes." in mlctl("plan")
    card.write_text(card.read_text() + "scribble")
    assert "edited by hand" in mlctl("plan")
    mlctl("apply", "--auto-approve")
    assert "scribble" not in card.read_text()
    (tmp_path / "visits.csv").write_text("visit_id,bought\n1,0\n")
    assert "data_cards.visits  update if needed" in mlctl("plan")
    mlctl("apply", "--auto-approve")
    assert "1 rows" in card.read_text()
    mlctl("destroy", "--auto-approve")
    assert not card.exists()
