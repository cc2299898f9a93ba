"""Labels end to end: a prediction log, a parquet file of delayed labels, the real program, one run after the other."""

import re
from datetime import timedelta
from pathlib import Path

import pytest

from mlctl.provider import Context
from mlctl.providers.evidently.backtest import Span, backtest
from mlctl.providers.evidently.run import result_text, run_monitor
from mlctl.stats.drift import Verdict
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError
from tests.integration.monitor.outcomes import NOW, World, apply, evaluation

pytestmark = pytest.mark.tools

LABELS = {"dataset": "outcomes", "id": "request", "label": "churned", "delay": "3d", "window": "14d"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def test_concept_drift_is_seen_when_its_labels_ripen_and_the_detector_goes_on_between_runs(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    for ago in range(17, -1, -1):
        world.day(ago, flipped=0.25 if ago <= 9 else 0.0)  # the outcome follows another rule from nine days ago on
    record = apply(ctx, world.dataset(), evaluation(), labels=LABELS)

    before = run_monitor(record, ctx, NOW - timedelta(days=7))  # what ripened by then is older than the drift
    assert before.verdict is Verdict.OK, before.outputs["summary"]
    found = before.outputs["parts"]["labels"]
    assert found["detector"]["rows"] == found["ripe_labelled"] > 1000
    assert (
        found["labels"]["pending"] + found["labels"]["labelled"] == found["predictions"]
    )  # what is young is never negative
    assert found["labels"]["missing"] == 0

    after = run_monitor(record, ctx, NOW)
    told = after.outputs["parts"]["labels"]
    assert after.verdict is Verdict.ALARM
    assert (
        told["detector"]["rows"] == told["detector"]["fed"] + found["detector"]["rows"]
    )  # nothing is fed twice, or begun anew
    assert (told["detector"]["crossed_on"], told["detector"]["since"]) == ("2026-05-11", "2026-05-11")
    assert told["detector"]["delay_rows"] < 200
    (alarm,) = after.outputs["alarms"]
    assert (alarm["part"], alarm["name"], alarm["method"]) == ("labels", "error_rate", "e_detector")
    assert alarm["impact"]["low"] > 0
    assert 0.08 < alarm["impact"]["change"] < 0.25
    days = {day["day"]: day for day in told["cohorts"]}
    assert days["2026-05-19"]["maturity"] == 0
    assert days["2026-05-19"]["metrics"]["error_rate"] is None
    assert days["2026-05-13"]["metrics"]["error_rate"] > days["2026-05-08"]["metrics"]["error_rate"] + 0.03
    page = (ctx.root / str(after.outputs["report"])).read_text()
    assert "error_rate by day of the prediction" in page
    assert re.search(r"(src|href)=.?https?:", page) is None
    assert "concept drift: error_rate" in result_text(after)

    past = backtest(record, ctx, Span(NOW - timedelta(days=7), NOW, 7 * 86400))  # the same, played through
    assert [item["parts"]["labels"] for item in past] == [found, told]

    again = run_monitor(record, ctx, NOW + timedelta(seconds=1))  # an alarm stands until something else is looked for
    assert again.verdict is Verdict.ALARM
    assert again.outputs["parts"]["labels"]["detector"]["fed"] <= 1
    retrained = apply(ctx, world.dataset(), evaluation("2"), labels=LABELS)
    fresh = run_monitor(retrained, ctx, NOW + timedelta(seconds=2))
    assert fresh.verdict is Verdict.NO_DATA  # no prediction of the new version is ripe yet
    assert fresh.outputs["parts"]["labels"]["other_versions"] > 3000


def test_labels_that_are_no_labels_count_for_nothing_and_are_named(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    for ago in range(9, 3, -1):
        world.day(ago, rows=100)
    one, two, three, four, five, six, *_ = world.labels
    bad = [
        {**one, "churned": 1 - one["churned"], "at": one["at"] + timedelta(hours=1)},  # says otherwise
        {**two, "at": two["at"] + timedelta(hours=1)},  # says it again
        {**three, "request": "nobody-asked"},
        {**four, "request": None},
    ]
    world.labels[2:6] = [
        {**three, "at": three["at"] - timedelta(days=2)},  # before its prediction: a clock is wrong
        {**four, "at": four["at"] + timedelta(days=6)},  # after the wait
        {**five, "churned": float("nan")},
        {**six, "churned": 7.0},
    ]
    record = apply(ctx, world.dataset(rows=[*world.labels, *bad]), evaluation(), labels=LABELS)
    found = run_monitor(record, ctx, NOW).outputs["parts"]["labels"]
    refused = {name: count for name, count in found["refused"].items() if count}
    assert refused == {
        "contradictory": 1, "repeated": 1, "unmatched": 1, "nameless": 1, "early": 1, "late": 1, "not_a_number": 1, "not_a_class": 1
    }  # fmt: skip
    assert found["labels"] == {"labelled": 595, "pending": 0, "missing": 4, "contradictory": 1, "superseded": 0}
    assert found["lag_seconds"] == {"p50": 86400.0, "p95": 86400.0}


def test_nothing_is_said_while_all_labels_are_pending_or_most_are_missing(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    for ago in range(2, 0, -1):
        world.day(ago, rows=300)
    record = apply(ctx, world.dataset(), evaluation(), labels=LABELS)
    young = run_monitor(record, ctx, NOW)
    assert young.verdict is Verdict.NO_DATA
    assert young.outputs["parts"]["labels"]["ripe"] == 0
    assert (
        young.outputs["parts"]["labels"]["labels"]["labelled"] > 0
    )  # quick labels are there, and would be a biased sample
    for ago in range(9, 4, -1):
        world.day(ago, rows=300, labelled=0.2)
    few = run_monitor(apply(ctx, world.dataset(), evaluation(), labels=LABELS), ctx, NOW)
    assert few.verdict is Verdict.NO_DATA
    assert "of the ripe predictions of version 1 have a label, and 50% are needed" in few.outputs["summary"]
    enough = run_monitor(apply(ctx, world.dataset(), evaluation(), labels={**LABELS, "min_coverage": 0.1}), ctx, NOW)
    assert enough.verdict is Verdict.OK


def test_few_labels_that_say_the_worst_raise_no_alarm_and_wait_for_the_others(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    for ago in range(9, 4, -1):
        world.day(ago, rows=300)
    complaints = [row for row in world.labels if row["churned"] == 1.0 and row["user"] % 3]  # only these come early
    told = run_monitor(apply(ctx, world.dataset(rows=complaints), evaluation(), labels=LABELS), ctx, NOW)
    found = told.outputs["parts"]["labels"]
    assert (told.verdict, told.outputs["alarms"]) == (Verdict.NO_DATA, [])
    assert (found["detector"]["fed"], found["detector"]["waiting"]) == (0, len(complaints))
    later = run_monitor(apply(ctx, world.dataset(), evaluation(), labels=LABELS), ctx, NOW + timedelta(seconds=1))
    assert later.verdict is Verdict.OK, later.outputs["summary"]
    assert later.outputs["parts"]["labels"]["detector"]["fed"] == 1500


def test_a_column_of_labels_that_is_gone_is_told_by_name(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    world.day(4)
    record = apply(ctx, world.dataset(), evaluation(), labels={**LABELS, "window": "900000d"})
    world.dataset(rows=[{name: value for name, value in row.items() if name != "churned"} for row in world.labels])
    with pytest.raises(MlctlError, match=r"`churned` is no column of outcomes\.parquet any more"):
        run_monitor(record, ctx, NOW)


def test_labels_of_one_class_are_label_drift_and_no_error(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out()
    for ago in range(9, 4, -1):
        world.day(ago, rows=100)
    rows = [{**row, "churned": 1.0} for row in world.labels]
    result = run_monitor(apply(ctx, world.dataset(rows=rows), evaluation(), labels=LABELS), ctx, NOW)
    found = result.outputs["parts"]["labels"]
    assert found["metrics"]["roc_auc"] == {
        "value": None, "standard_error": None, "rows": 0, "reference": pytest.approx(0.92, abs=0.03), "effect": None, "margin": None, "p_adjusted": None, "verdict": "no_data"
    }  # fmt: skip
    assert found["label_drift"]["effect"] == pytest.approx(0.5, abs=0.05)
    assert {alarm["name"] for alarm in result.outputs["alarms"]} == {"error_rate", "label"}


def test_labels_find_the_latest_prediction_of_their_key(ctx: Context) -> None:
    world = World(ctx.root)
    for ago in range(9, 4, -1):
        world.day(ago, rows=200, lag=0.5)
    rows = [row for row in world.labels if row["request"].startswith(("9-", "5-"))]
    by_key = {**LABELS, "id": None, "key": ["user"], "baseline": {"error_rate": 0.25}}
    found = run_monitor(apply(ctx, world.dataset(rows=rows), labels=by_key), ctx, NOW).outputs["parts"]["labels"]
    # each key was asked about on five days; of the days between, the next day's answer came while a label could
    assert found["labels"]["labelled"] == len(rows) == 400
    assert found["labels"]["superseded"] == 600
    assert found["coverage"] == 1.0
