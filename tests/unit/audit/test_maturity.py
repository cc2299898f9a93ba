"""Levels and score follow from evidence, name what is lacking, and never fall when something is mended."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import get_args

import pytest

from mlctl.audit.case import Case
from mlctl.audit.maturity import data, infrastructure, model, monitoring
from mlctl.audit.maturity.levels import GOOGLE, MICROSOFT, SCALES, reached
from mlctl.audit.maturity.score import SECTIONS, score
from mlctl.audit.settings import CheckName
from mlctl.types.diagnostic import MlctlError
from tests.unit.audit.project import DECISIONS, GOOD, NOW, OUTPUTS, PROVENANCE, case_of, decided, edited

REPRODUCED = decided("check", "training.churn", "passed", inputs={"check": "reproduce"})


def pipeline(root: Path) -> None:
    folder = root / ".github" / "workflows"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "ml.yml").write_text("jobs: {plan: {steps: [{run: mlctl plan}]}}\n")
    (root / ".git").mkdir(exist_ok=True)


def loop() -> list[object]:
    alarm = decided("monitor", "monitors.churn_drift", "alarm", days=3)
    again = decided("retrain", "training.churn", "trained", days=2, cause=alarm.id)
    return [alarm, again, decided("rollout", "deployments.churn_api", "promoted", days=1, cause=again.id)]


def levels(case: Case) -> dict[str, int]:
    return {name: reached(case, name).level.number for name in SCALES}


def test_each_scale_names_the_first_thing_that_is_lacking(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    google = reached(case_of(tmp_path), "Google")
    assert google.level.number == 1
    assert google.failing is not None
    assert google.failing.name == "integration-test"
    assert google.failing.command == "mlctl init --ci github"
    assert google.seen is not None
    assert "none" in google.seen.evidence


def test_the_highest_levels_are_reached_by_evidence_alone(tmp_path: Path) -> None:
    pipeline(tmp_path)
    whole = [*DECISIONS, REPRODUCED, *loop()]
    assert levels(case_of(tmp_path, decisions=whole)) == {"Google": 2, "Microsoft": 4}
    assert reached(case_of(tmp_path, decisions=whole), "Microsoft").failing is None
    assert levels(case_of(tmp_path, decisions=[*DECISIONS, REPRODUCED]))["Microsoft"] == 3
    assert levels(case_of(tmp_path, decisions=[REPRODUCED]))["Microsoft"] == 2
    assert levels(case_of(tmp_path, decisions=[]))["Microsoft"] == 1
    assert levels(case_of(tmp_path, decisions=whole, now=NOW + timedelta(days=40)))["Microsoft"] == 3  # long ago
    dirty = {**PROVENANCE, "code": {"commit": None}}
    assert levels(case_of(tmp_path, decisions=whole, provenance=dirty)) == {"Google": 1, "Microsoft": 0}


def test_a_level_counts_only_with_all_that_is_below_it(tmp_path: Path) -> None:
    assert [level.number for level in GOOGLE] == [0, 1, 2]
    assert [level.number for level in MICROSOFT] == [0, 1, 2, 3, 4]
    (tmp_path / ".git").mkdir()
    whole = [*DECISIONS, REPRODUCED, *loop()]
    assert levels(case_of(tmp_path, decisions=whole))["Microsoft"] == 0  # no pipeline, whatever else there is


def test_the_score_is_that_of_the_weakest_section(tmp_path: Path) -> None:
    made = score(case_of(tmp_path))
    assert {name: len([item for item in made.points if item.section == name]) for name in SECTIONS} == dict.fromkeys(
        ("data", "model", "infrastructure", "monitoring"), 7
    )
    assert made.final == min(made.sections.values())
    assert made.sections["model"] == 1  # a clean commit
    assert made.band == "not totally untested"


def test_what_people_vouch_for_counts_half_until_its_day(tmp_path: Path) -> None:
    attest = "audit: {attest: [{check: slices, by: ann, on: 2026-11-01, until: %s, evidence: docs/slices.md}]}\n"
    before = score(case_of(tmp_path)).sections["model"]
    assert score(case_of(tmp_path, GOOD + attest % "2027-01-01")).sections["model"] == before + 0.5
    assert score(case_of(tmp_path, GOOD + attest % "2026-11-20")).sections["model"] == before
    with pytest.raises(MlctlError, match="beauty"):
        case_of(tmp_path, GOOD + attest.replace("slices,", "beauty,") % "2027-01-01")


def test_each_check_and_nothing_else_can_be_vouched_for() -> None:
    checks = {check.name for section in (data, model, infrastructure, monitoring) for check in section.CHECKS}
    assert set(get_args(CheckName)) == checks


@pytest.mark.parametrize(
    ("worse", "better"),
    [
        (edited("    gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}\n",
                "    gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}\n"),
         edited("metrics: [{name: error_rate, margin: 0.002}]}}\n", "metrics: [{name: error_rate, margin: 0.002}, {name: p99_seconds, max_ratio: 1.1}]}}\n")),
        (edited("    labels: {dataset: outcomes, label: churned, key: [user_id]}\n", ""), GOOD),
        (edited("  visits_ok: {dataset: visits, rules: [{not_null: {columns: [visit_id]}}]}\n", ""), GOOD),
    ],
)  # fmt: skip
def test_mending_one_thing_never_lowers_a_level_or_the_score(tmp_path: Path, worse: str, better: str) -> None:
    before, after = case_of(tmp_path, worse), case_of(tmp_path, better)
    case_of(tmp_path, worse)
    old = (levels(before), score(before))
    new = (levels(after), score(after))
    assert all(new[0][name] >= old[0][name] for name in SCALES)
    assert sum(new[1].sections.values()) > sum(old[1].sections.values())


def test_a_project_of_which_nothing_was_made(tmp_path: Path) -> None:
    (tmp_path / ".git").mkdir()
    case = case_of(tmp_path, outputs={}, decisions=[])
    assert levels(case) == {"Google": 0, "Microsoft": 0}
    assert OUTPUTS  # the other tests have some
