"""What somebody had checked is evidence for an audit, and a check that saw nothing is none."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.audit.case import Case
from mlctl.audit.maturity.model import CHECKS
from mlctl.cli import features_parity
from mlctl.cli.dispatch import dispatch
from mlctl.files import decisions
from mlctl.providers.evidently import backtest
from mlctl.types.address import ObjectKey
from mlctl.types.decision import Decision
from mlctl.types.jobs.features import Parity
from mlctl.types.jobs.parity import LogParity
from mlctl.types.state import Record
from mlctl.workspace import Workspace


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text("project: shop\n")
    with Workspace(tmp_path).session("test") as (session, _):
        for name in ("deployments.api", "monitors.drift", "feature_views.visits"):
            session.record(Record(ObjectKey.parse(f"{name}#"), name, outputs={"online": True}))
    return tmp_path


def kept(root: Path) -> list[Decision]:
    return list(decisions.kept(root / ".mlctl/default"))


@pytest.mark.parametrize("compared", [0, 7])
def test_a_parity_of_no_prediction_at_all_is_no_evidence(
    root: Path, monkeypatch: pytest.MonkeyPatch, compared: int
) -> None:
    found = LogParity(
        passed=True, since=None, until="", predictions=compared, compared=compared, without_keys=0, other_versions=0, unreadable=0,
        tolerance=0, features=[], lags=[], worst=[],
    )  # fmt: skip
    monkeypatch.setattr(features_parity, "run_log_parity", lambda *_, **__: found)
    assert dispatch("features", ["parity", "--deployment", "api", "-C", str(root)]) == 0
    assert [item.verdict for item in kept(root)] == ["passed"] * bool(compared)


@pytest.mark.parametrize("keys", [0, 7])
def test_a_parity_of_no_key_at_all_is_no_evidence(root: Path, monkeypatch: pytest.MonkeyPatch, keys: int) -> None:
    found = Parity(
        passed=True, view="visits", at="2026-01-01", keys=keys, values=keys, mismatched=0, null_mismatches=0, max_relative=0.0,
        tolerance=0.0, worst=None,
    )  # fmt: skip
    monkeypatch.setattr(features_parity, "run_parity", lambda *_, **__: found)
    assert dispatch("features", ["parity", "-C", str(root)]) == 0
    assert len(kept(root)) == bool(keys)


@pytest.mark.parametrize("verdict", ["no_data", "alarm"])
def test_a_backtest_that_saw_something_is_what_the_score_asks_for(
    root: Path, monkeypatch: pytest.MonkeyPatch, verdict: str
) -> None:
    run: dict[str, Any] = {"verdict": verdict, "until": "2026-01-02T00:00:00+00:00", "rows": 0, "alarms": []}
    monkeypatch.setattr(backtest, "span", lambda *_: None)
    monkeypatch.setattr(backtest, "backtest", lambda *_: [run])
    assert dispatch("monitor", ["backtest", "drift", "--json", "-C", str(root)]) == 0
    made = kept(root)
    (check,) = (one for one in CHECKS if one.name == "staleness")
    assert check.look is not None
    case = Case(Workspace(root).loaded, {}, tuple(made), root, datetime.now(UTC))
    assert check.look(case).passed is (verdict == "alarm")
    assert [item.address for item in made] == ["monitors.drift"] * (verdict == "alarm")
