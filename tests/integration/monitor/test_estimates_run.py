"""Performance without labels, and figures that stand for them, through the real program."""

import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.evidently.run import result_text, run_monitor
from mlctl.stats.drift import Verdict
from mlctl.testing.harness import make_context
from tests.integration.monitor.outcomes import NOW, PREDICTIONS, World, apply, dataset_of, evaluation

pytestmark = pytest.mark.tools

ESTIMATED = {"metric": "error_rate", "margin": 0.02, "window": "3d"}


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def test_harder_requests_are_seen_without_labels_and_concept_drift_is_not(ctx: Context) -> None:
    world = World(ctx.root)
    world.held_out(2000)
    for ago in (12, 11, 10):
        world.day(ago, rows=400)
    for ago in (7, 6, 5):
        world.day(ago, rows=400, shift=1.7)  # scores crowd around a half
    for ago in (3, 2, 1):
        world.day(ago, rows=400, flipped=0.4)
    record = apply(ctx, None, evaluation(), estimated=ESTIMATED)
    calm, hard, blind = (run_monitor(record, ctx, NOW - timedelta(days=ago)) for ago in (9, 4, 0))
    assert (calm.verdict, hard.verdict) == (Verdict.OK, Verdict.ALARM)
    found: dict[str, Any] = hard.outputs["parts"]["estimated"]
    truly = 0.354  # as labels of these requests would show
    assert found["low"] < truly < found["high"]
    assert found["high"] - found["low"] < 0.05
    (alarm,) = hard.outputs["alarms"]
    assert alarm["impact"]["low"] > 0.1
    assert blind.verdict is Verdict.OK  # four in ten outcomes are flipped, and no score tells
    assert "cannot see concept drift" in result_text(blind)
    assert "cannot see concept drift" in (ctx.root / str(blind.outputs["report"])).read_text()
    other = run_monitor(apply(ctx, None, evaluation("2"), estimated=ESTIMATED), ctx, NOW)
    assert other.verdict is Verdict.NO_DATA  # another version's scores are not calibrated by this one's


def clicks(world: World, share_before: float, share_now: float) -> list[dict[str, Any]]:
    rows = []
    for row in world.labels:
        ago = int(row["request"].split("-")[0])
        if world.random.random() < (share_now if ago <= 8 else share_before):
            rows.append(
                {"request": row["request"], "user": row["user"], "at": row["at"] - timedelta(hours=20), "clicked": 1}
            )
    return rows


def test_fewer_clicks_than_before_are_an_alarm_and_as_many_are_none(ctx: Context) -> None:
    world = World(ctx.root)
    for ago in range(20, 0, -1):
        world.day(ago, rows=100)
    ctr = {"metric": "ctr", "dataset": "clicks", "id": "request", "margin": 0.02, "window": "7d", "baseline": "14d"}
    same = run_monitor(
        apply(ctx, world.dataset("clicks", clicks(world, 0.3, 0.3)), proxies=[ctr]), ctx, NOW - timedelta(seconds=1)
    )
    assert same.verdict is Verdict.OK, same.outputs["summary"]
    fewer = run_monitor(
        apply(ctx, world.dataset("clicks", clicks(world, 0.3, 0.15)), proxies=[ctr]), ctx, NOW - timedelta(seconds=1)
    )
    (alarm,) = fewer.outputs["alarms"]
    assert (alarm["part"], alarm["name"], alarm["method"]) == ("proxies", "ctr", "delta")
    assert alarm["effect"] == pytest.approx(0.15, abs=0.05)
    found = fewer.outputs["parts"]["proxies"]["proxies"]["ctr"]
    assert (found["units"], found["units_before"]) == (100, 100)  # predictions of one user are not independent
    assert (found["rows"], found["rows_before"]) == (700, 1200)
    lower = {**ctr, "direction": "lower"}
    assert (
        run_monitor(
            apply(ctx, world.dataset("clicks", clicks(world, 0.3, 0.15)), proxies=[lower]),
            ctx,
            NOW - timedelta(seconds=1),
        ).verdict
        is Verdict.OK
    )


def test_predictions_that_no_click_could_be_about_are_not_counted_as_without_one(ctx: Context) -> None:
    world = World(ctx.root)
    for ago in range(20, 0, -1):
        world.day(ago, rows=100)
    for path in sorted((ctx.root / PREDICTIONS).glob("*.jsonl"))[
        -8:
    ]:  # lately some are asked for by features, and some are asked twice
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        keyless = [{**row, "request_id": f"more-{row['request_id']}", "key": None} for row in rows]
        path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *keyless, *rows[:20]]))
    data = world.dataset("clicks", clicks(world, 0.3, 0.3))
    ctr = {"metric": "ctr", "dataset": "clicks", "id": "request", "key": ["user"], "margin": 0.02, "window": "7d", "baseline": "14d", "min_units": 50}  # fmt: skip
    result = run_monitor(apply(ctx, data, proxies=[ctr]), ctx, NOW - timedelta(seconds=1))
    found = result.outputs["parts"]["proxies"]["proxies"]["ctr"]
    assert result.verdict is Verdict.OK, result.outputs["summary"]
    assert found["rows"] == 7 * 80


def test_a_refund_is_an_event_as_well_as_what_was_paid(ctx: Context) -> None:
    world = World(ctx.root)
    for ago in range(20, 0, -1):
        world.day(ago, rows=100)
    rows = clicks(world, 0.3, 0.3)
    paid = [{**row, "clicked": sign} for row in rows for sign in (-1, 1)]
    bought = {"metric": "bought", "dataset": "clicks", "id": "request", "column": "clicked", "margin": 0.02, "window": "7d", "baseline": "14d"}  # fmt: skip
    result = run_monitor(apply(ctx, world.dataset("clicks", paid), proxies=[bought]), ctx, NOW - timedelta(seconds=1))
    assert result.outputs["parts"]["proxies"]["proxies"]["bought"]["value"] == pytest.approx(0.3, abs=0.06)


def test_rows_that_are_about_no_prediction_are_compared_by_their_units(ctx: Context) -> None:
    world = World(ctx.root)
    lines = ["at,shop,spent"]
    for ago in range(34, 0, -1):
        for shop in range(40):
            value = world.random.normal(10 + shop / 10 - (3 if ago <= 7 else 0), 1)
            lines.append(f"{NOW - timedelta(days=ago, hours=-1):%Y-%m-%dT%H:%M:%S},{shop},{value}")
    lines.append(f"{NOW + timedelta(days=3):%Y-%m-%dT%H:%M:%S},1,-1000")  # a clock runs ahead
    lines.append(f"{NOW - timedelta(days=3):%Y-%m-%dT%H:%M:%S},1,nan")
    (ctx.root / "spent.csv").write_text("\n".join(lines) + "\n")
    data = dataset_of("spent.csv", {"at": "timestamp", "shop": "bigint", "spent": "double"}, "spent", "csv")
    spent = {
        "metric": "spent",
        "dataset": "spent",
        "column": "spent",
        "aggregate": "mean",
        "unit": "shop",
        "margin": 1,
        "min_units": 30,
    }
    result = run_monitor(apply(ctx, data, proxies=[spent]), ctx, NOW)
    found = result.outputs["parts"]["proxies"]["proxies"]["spent"]
    assert result.verdict is Verdict.ALARM
    assert found["effect"] == pytest.approx(3, abs=0.2)
    assert (found["units"], found["rows"], found["rows_before"]) == (40, 280, 40 * 27)
    assert found["refused"] == {"future": 1, "not_a_number": 1}
