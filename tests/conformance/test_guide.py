"""What docs/guides/providers.md shows works: its kind keeps the rules, and a project can use it once it is installed."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import ModuleType

import pytest

from mlctl.estimate.comparing import compare
from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.estimate.options import options
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Desired, Estimates, Input, Movable, Spec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record
from tests.conformance.conftest import GUIDE


def test_the_test_of_the_guide_passes(guide: ModuleType, tmp_path: Path) -> None:
    guide.test_a_data_card_keeps_the_rules_of_kinds(tmp_path)
    assert list(tmp_path.rglob("*.md")) == []


def test_what_the_guide_foresees_is_priced_and_compared(
    guide_estimates: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100:2")
    rows = [
        PriceRow("H100", "us", tier, usd, date(2026, 11, 1), "bill")
        for tier, usd in (("owned", 1.5), ("on_demand", 3.0))
    ]
    ctx = replace(make_context(tmp_path), prices=Prices([lambda: rows]))
    visits = Record(ObjectKey.parse("datasets.visits#"), "id", outputs={"rows": 2_000_000, "digest": "d"})
    key = Address.parse("embeddings.e")
    desired = Desired(key, Spec(), {}, {visits.key.address: Input(visits.key, visits.outputs, "d")}, {}, "identity")
    kind = guide_estimates.Foreseen()
    assert isinstance(kind, Estimates)
    assert isinstance(kind, Movable)
    found = kind.estimate(desired, [], ctx)
    # 2e6 rows of 1e12 operations, on two devices of 989e12 a second at 40 %
    assert found.seconds.mid == pytest.approx(2e18 / (2 * 989e12 * 0.4))
    assert found.usd.mid == pytest.approx(found.seconds.mid / 3600 * 2 * 1.5)
    best = compare(kind.workload(desired, [], ctx), options(rows, counts=(1, 2), gpus=("H100",))).rows
    assert [(row.option.tier, row.here) for row in best[:2]] == [("owned", False), ("owned", True)]


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
