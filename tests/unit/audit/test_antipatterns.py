"""Each anti-pattern is found where it is, with evidence and a fix, and nowhere else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.audit.report import audit, diagnostics
from mlctl.types.diagnostic import Severity
from tests.unit.audit.project import CODE, DECISIONS, GOOD, OUTPUTS, PROVENANCE, case_of, decided, edited

ERROR, WARNING = Severity.ERROR, Severity.WARNING


def without(section: str) -> str:
    """The good project without a section."""
    lines, kept, inside = GOOD.splitlines(keepends=True), [], False
    for line in lines:
        if not line.startswith(" "):
            inside = line.startswith(f"{section}:")
        if not inside:
            kept.append(line)
    return "".join(kept)


def found(root: Path, *arguments: Any, **more: Any) -> list[tuple[str, Severity]]:
    made = audit(case_of(root, *arguments, **more))
    for item in made.findings:
        assert item.evidence
        assert item.fix
        assert item.says
    return [(item.pattern.id, item.severity) for item in made.findings]


def test_a_project_without_a_fault_has_no_finding(tmp_path: Path) -> None:
    assert found(tmp_path) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (edited("${training.churn.model}", "models/bought"), [("A1", ERROR)]),
        (edited("features: [visiting], target", "target"), [("A2", WARNING)]),
        (edited(", not_worse_than: champion, margin: 0.01", ""), [("A3", WARNING)]),
        (edited("    labels: {dataset: outcomes, label: churned, key: [user_id]}\n", ""), [("A4", ERROR)]),
        (edited("    data: {methods: [ks]}\n", ""), [("A4", ERROR)]),
        (
            edited('  watch: {cron: "0 * * * *", run: monitor, targets: [monitors.churn_drift]}\n', ""),
            [("A4", WARNING)],
        ),
        (edited("metric: error_rate, margin: 0.002}]\n    design", "metric: visits, margin: 0.1}]\n    design"), [("A5", ERROR)]),
        (
            edited(
                "    epochs: 1\n",
                "    epochs: 1\n    executor: {type: skypilot, spot: true, infra: aws, storage: 's3://bucket/p'}\n",
            ),
            [("A7", ERROR)],
        ),
        (edited("{canary: {steps: [{weight: 10, gate: guard}]}}", "{all_at_once: true}").replace(
            "    gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}\n", ""
        ), [("A8", ERROR)]),
        (edited("{weight: 10, gate: guard}", "{weight: 10, pause: 1h}"), [("A8", ERROR)]),
        (edited("    tags: {runbook: runbook.md}\n", ""), [("A10", WARNING)]),
        (edited("runbook: runbook.md", "runbook: gone.md"), [("A10", WARNING)]),
        (edited("owner: {team: retail, on_call: retail-oncall}\n", ""), [("A10", ERROR), ("A10", ERROR)]),
        (edited("    on_alarm: {retrain: training.churn}\n", ""), [("A9", WARNING)]),
        (edited("    observe: {traces: {endpoint: http://127.0.0.1:4318}}\n", ""), [("A9", WARNING)]),
        (edited("    tags: {runbook", "    log: {predictions: true, features: false}\n    tags: {runbook"), [("A9", WARNING)]),
    ],
)  # fmt: skip
def test_what_the_project_says(tmp_path: Path, text: str, expected: list[tuple[str, Severity]]) -> None:
    assert found(tmp_path, text) == expected


def test_a_deployment_without_a_monitor_is_watched_by_nobody(tmp_path: Path) -> None:
    text = without("monitors").replace(
        '  watch: {cron: "0 * * * *", run: monitor, targets: [monitors.churn_drift]}\n', ""
    )
    assert found(tmp_path, text) == [("A4", ERROR)]
    never_made = {name: values for name, values in OUTPUTS.items() if name != "deployments.churn_api"}
    assert found(tmp_path, text, outputs=never_made) == [("A4", ERROR)]  # before it is deployed is when to say so


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ({**CODE, "commit": None}, ERROR),
        ({**CODE, "commit": None, "digest": None}, WARNING),
        ({**CODE, "dirty": True}, ERROR),
        ({**CODE, "dirty": True, "diff": "code.diff"}, WARNING),
    ],
)
def test_a_training_from_uncommitted_code(tmp_path: Path, code: dict[str, Any], expected: Severity) -> None:
    assert found(tmp_path, provenance={**PROVENANCE, "code": code}) == [("A1", expected)]


@pytest.mark.parametrize("missing", [{"data": []}, {"environment": {"packages": None}}])
def test_a_training_that_does_not_say_what_it_was_made_of(tmp_path: Path, missing: dict[str, Any]) -> None:
    assert found(tmp_path, provenance={**PROVENANCE, **missing}) == [("A1", ERROR)]


@pytest.mark.parametrize(
    ("made", "expected"),
    [
        ([], [("A2", WARNING)]),
        ([decided("check", "deployments.churn_api", "passed", days=8, inputs={"check": "parity"})], [("A2", WARNING)]),
        ([decided("check", "deployments.churn_api", "failed", inputs={"check": "parity"})], [("A2", ERROR)]),
    ],
)
def test_nobody_compared_features_or_they_differ(tmp_path: Path, made: list[Any], expected: list[Any]) -> None:
    assert found(tmp_path, decisions=[*made, DECISIONS[1]]) == expected


def test_a_feature_that_means_two_things(tmp_path: Path) -> None:
    other = "  buying: {entity: user, source: visits, features: {visits_7d: {aggregate: count, window: 14d}}}\n"
    assert found(tmp_path, edited("training:\n  churn:", f"{other}training:\n  churn:")) == [("A2", WARNING)]


@pytest.mark.parametrize(
    ("rows", "value", "expected"),
    [(20_000, 0.81, []), (100, 0.72, [("A3", WARNING)]), (20_000, 0.701, [("A3", WARNING)])],
)
def test_a_bar_that_was_passed_by_less_than_the_rows_can_show(
    tmp_path: Path, rows: int, value: float, expected: list[Any]
) -> None:
    outputs = {**OUTPUTS, "evaluations.churn_gate": {"rows": rows, "metrics": {"roc_auc": value}}}
    assert found(tmp_path, outputs=outputs) == expected


def test_a_holdout_with_the_very_rows_of_the_labels(tmp_path: Path) -> None:
    assert found(tmp_path, outputs={**OUTPUTS, "datasets.holdout": {"digest": "l"}}) == [("A3", ERROR)]


def test_a_monitor_that_missed_its_times(tmp_path: Path) -> None:
    from datetime import timedelta

    from tests.unit.audit.project import NOW

    case = case_of(tmp_path, now=NOW + timedelta(hours=3))
    (item,) = audit(case).findings
    assert (item.pattern.id, item.severity) == ("A4", ERROR)
    assert "missed" in item.says


def test_a_monitor_of_weekdays_misses_nothing_at_the_weekend(tmp_path: Path) -> None:
    """Last run on Friday morning: on Monday before it is due, that is three days ago, and the next two runs are a day apart."""
    from datetime import UTC, datetime

    text = edited('cron: "0 * * * *"', 'cron: "0 12 * * 1-5"')
    monday = datetime(2026, 11, 23, 9, 0, tzinfo=UTC)
    runs = tmp_path / "objects/monitors.churn_drift/self/runs"
    case = case_of(tmp_path, text, now=monday)
    (only,) = runs.iterdir()
    only.rename(runs / "20261120T115900.000000Z")
    assert audit(case).findings == ()
    late = case_of(tmp_path, text, now=datetime(2026, 11, 25, 13, 0, tzinfo=UTC))
    for path in runs.iterdir():
        if not path.name.startswith("20261120"):
            (path / "result.json").unlink()
    assert [item.pattern.id for item in audit(late).findings] == ["A4"]


def after(days: int) -> dict[str, Any]:
    first, until = "2026-11-01T00:00:00+00:00", f"2026-11-{1 + days:02}T00:00:00+00:00"
    return {"units": {"control": 50, "treatment": 50}, "first": first, "until": until}


@pytest.mark.parametrize(
    ("made", "text", "expected"),
    [
        (decided("experiment", "experiments.offer", "invalid"), GOOD, [("A5", ERROR)]),
        (decided("experiment", "experiments.offer", "ship", outputs=after(3)), GOOD, [("A5", ERROR)]),
        (decided("experiment", "experiments.offer", "ship", outputs=after(14)), GOOD, []),
        (
            decided("experiment", "experiments.offer", "ship", outputs=after(14)),
            edited("{daily_units: 1000}", "{daily_units: 1000, sequential: fixed}"),
            [("A5", ERROR)],
        ),
        (decided("experiment", "experiments.offer", "continue", outputs={"units": {"control": 50, "treatment": 50}}), GOOD, []),
    ],
)  # fmt: skip
def test_how_an_experiment_was_decided(tmp_path: Path, made: Any, text: str, expected: list[Any]) -> None:
    assert found(tmp_path, text, decisions=[*DECISIONS, made]) == expected


def gpu_training(ratio: dict[str, float] | None, memory: float) -> dict[str, Any]:
    estimate = None if ratio is None else {"ratio": ratio, "actual": {"memory": memory}}
    return {**OUTPUTS, "training.churn": {"model": OUTPUTS["training.churn"]["model"], "estimate": estimate}}


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [(None, [("A6", ERROR)]), ({"memory": 1.1}, []), ({"memory": 2.0, "seconds": 1.0}, [("A6", WARNING)])],
)
def test_hardware_that_nothing_speaks_for(tmp_path: Path, ratio: dict[str, float] | None, expected: list[Any]) -> None:
    text = edited("    epochs: 1\n", "    epochs: 1\n    executor: {type: slurm, gpus_per_node: 1}\n")
    assert found(tmp_path, text, outputs=gpu_training(ratio, 1.0)) == expected


def test_spot_is_fine_once_a_kill_was_survived(tmp_path: Path) -> None:
    spot = "    executor: {type: skypilot, spot: true, infra: aws, storage: 's3://bucket/p'}\n"
    text = edited("    epochs: 1\n", f"    epochs: 1\n{spot}")
    survived = decided("check", "training.churn", "passed", inputs={"check": "kill-test"})
    assert found(tmp_path, text, decisions=[*DECISIONS, survived]) == []
    failed = decided("check", "training.churn", "failed", inputs={"check": "kill-test"})
    assert found(tmp_path, text, decisions=[*DECISIONS, failed]) == [("A7", ERROR)]
    seldom = text.replace("    epochs: 1\n", "    epochs: 1\n    checkpoint: {every: 60 minutes}\n")
    assert found(tmp_path, seldom, decisions=[*DECISIONS, survived]) == [("A7", WARNING)]


def test_a_first_version_without_a_strategy_is_a_warning(tmp_path: Path) -> None:
    text = edited("    rollout: {canary: {steps: [{weight: 10, gate: guard}]}}\n", "").replace(
        "    gates: {guard: {compare: baseline, metrics: [{name: error_rate, margin: 0.002}]}}\n", ""
    )
    assert found(tmp_path, text, outputs={**OUTPUTS, "deployments.churn_api": {"version": "1"}}) == [("A8", WARNING)]
    assert found(tmp_path, text) == [("A8", ERROR)]


def test_a_way_back_that_nobody_tried(tmp_path: Path) -> None:
    assert found(tmp_path, decisions=DECISIONS[:1]) == [("A8", WARNING)]


WAIVER = "audit: {{waive: [{{id: A10, address: 'deployments.*', until: {until}, by: ann, why: moving}}]}}\n"


def test_a_waiver_lets_pass_until_its_day_and_is_an_error_after_it(tmp_path: Path) -> None:
    text = edited("    tags: {runbook: runbook.md}\n", "")
    lasting = audit(case_of(tmp_path, text + WAIVER.format(until="2026-12-01")))
    assert not lasting.errors
    assert not lasting.warnings
    assert [item.waived for item in lasting.findings] == ["waived by ann until 2026-12-01: moving"]
    over = audit(case_of(tmp_path, text + WAIVER.format(until="2026-11-21")))
    assert [item.pattern.id for item in over.errors] == ["A0"]
    assert [item.pattern.id for item in over.warnings] == ["A10"]
    elsewhere = audit(
        case_of(tmp_path, text + WAIVER.format(until="2026-12-01").replace("deployments.*", "training.*"))
    )
    assert [item.pattern.id for item in elsewhere.warnings] == ["A10"]


def test_a_waiver_for_what_the_project_does_not_have_is_told(tmp_path: Path) -> None:
    waiver = WAIVER.format(until="2026-12-01")
    mistyped = audit(case_of(tmp_path, GOOD + waiver.replace("deployments.*", "deployment.churn_api")))
    assert [(item.pattern.id, item.severity) for item in mistyped.findings] == [("A0", WARNING)]
    assert not mistyped.errors
    assert audit(case_of(tmp_path, GOOD + waiver)).findings == ()  # what it was for is mended, and it ends by itself
    assert audit(case_of(tmp_path, GOOD + waiver.replace("deployments.*", "*"))).findings == ()


def test_a_finding_has_its_place_in_the_file(tmp_path: Path) -> None:
    case = case_of(tmp_path, outputs={**OUTPUTS, "datasets.holdout": {"digest": "l"}})
    (told,) = diagnostics(audit(case), case)
    assert told.where is not None
    assert told.where.text.strip() == "dataset: holdout"
    assert told.code == "audit.a3-deploy-without-eval-set"
