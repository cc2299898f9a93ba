"""What a training leaves for the next plan, and what `status` tells of it."""

from __future__ import annotations

from dataclasses import replace
from datetime import date

import pytest

from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context
from mlctl.providers.torch import actuals
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_desired
from tests.unit.providers.torch.trainings import TABLE, TEXT, foreseen, ran, record, rows


def test_what_it_took_is_kept_beside_what_the_formula_says(ctx: Context) -> None:
    kept = ran(ctx, TABLE, seconds=4.0, megabytes=500)["estimate"]
    assert kept["actual"]["memory"] == 500_000_000
    assert kept["actual"]["rows_per_second"] == 400.0
    assert kept["ratio"]["memory"] == pytest.approx(500e6 / kept["predicted"]["memory"], rel=1e-3)
    assert kept["ratio"]["seconds"] == pytest.approx(4.0 / kept["predicted"]["seconds"], rel=1e-3)
    assert kept["group"]["device"] == "cpu x2"


def test_the_next_plan_is_put_right_by_it(ctx: Context) -> None:
    before = foreseen(ctx, TABLE)
    made = [
        record(ran(ctx, TABLE, seconds=seconds, megabytes=500, start=3.0), place)
        for place, seconds in enumerate((0.4, 0.5, 0.45))
    ]
    after = foreseen(ctx, {**TABLE, "seed": 1}, made=made)
    assert before.seconds is not None
    assert after.seconds is not None
    assert after.seconds.basis == "calibrated from 3 runs"
    assert after.seconds.mid == pytest.approx(3.45, rel=0.01)
    assert after.seconds.high / after.seconds.low < before.seconds.high / before.seconds.low
    assert after.memory is not None
    assert after.memory.mid == pytest.approx(500e6, rel=0.01)


def test_tokens_that_were_counted_once_are_not_guessed_again(ctx: Context) -> None:
    outputs = ran(ctx, TEXT, seconds=10.0, megabytes=900, start=0.3)
    near = foreseen(ctx, {**TEXT, "seed": 1}, made=[record(outputs)]).seconds
    assert near is not None
    assert near.mid == pytest.approx(10.3, rel=0.15)
    del outputs["estimate"]["ratio"]  # what is left is how much there was to do
    made = [record(outputs)]
    found = foreseen(ctx, {**TEXT, "seed": 1}, made=made).seconds
    guessed = foreseen(ctx, {**TEXT, "seed": 1, "data": {**TEXT["data"], "max_length": 256}}, made=made).seconds
    assert found is not None
    assert guessed is not None
    assert found.high / found.low < guessed.high / guessed.low


def test_runs_that_cannot_be_compared_put_nothing_right(ctx: Context) -> None:
    values = {**TABLE, "strategy": {"type": "ddp", "processes": 2}}
    fewer = ran(ctx, values, seconds=4.0, megabytes=500, ranks=1)["estimate"]
    assert set(fewer) == {"actual"}
    desired = make_desired(Training(), "training.other", TABLE, ctx, rows())
    assert actuals.with_actual({"seconds": 1.0}, desired, ctx) == {"seconds": 1.0}  # taken over: no ranks ran


def test_a_run_elsewhere_than_was_planned_for_puts_nothing_right_and_has_no_price_of_that(
    ctx: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "H100")  # only planned for: the ranks were on a processor
    owned = replace(ctx, prices=Prices(given=[PriceRow("H100", "p", "owned", 2.0, date(2026, 11, 1), "s")]))
    found = ran(owned, TABLE, seconds=4.0, megabytes=500)["estimate"]
    assert set(found) == {"actual"}
    assert "usd" not in found["actual"]
    assert found["actual"]["held_seconds"] == 4.0


def test_steps_and_start_are_measured_each_by_itself_and_foretold_together(ctx: Context) -> None:
    kept = ran(ctx, TABLE, seconds=4.0, megabytes=500, start=5.0)["estimate"]
    assert (kept["actual"]["seconds"], kept["actual"]["start"], kept["actual"]["held_seconds"]) == (4.0, 5.0, 9.0)
    assert kept["ratio"]["start"] == pytest.approx(5.0 / kept["predicted"]["start"], rel=1e-3)
    longer = foreseen(ctx, {**TABLE, "epochs": TABLE["epochs"] * 10}, made=[record({"estimate": kept})])
    assert longer.seconds is not None
    assert longer.seconds.mid == pytest.approx(45.0, rel=0.01)  # ten times the steps, and one start


def test_a_start_is_that_of_one_life_whatever_the_lives_before_it_did(ctx: Context) -> None:
    ended = {"lived_seconds": 12.0, "started_seconds": 3.0, "machine_seconds": 500.0}
    assert actuals._start({"seconds": 90.0}, ended) == 3.0
    assert actuals._start({"seconds": 8.0}, ended) == 4.0


def test_what_an_older_version_made_is_told_by_its_steps_as_it_was_planned(ctx: Context) -> None:
    made = ran(ctx, TABLE, seconds=4.0, megabytes=500, start=5.0)
    assert actuals.told(record(made)).startswith("took 9.0 s, ")
    del made["estimate"]["actual"]["start"]
    assert actuals.told(record(made)).startswith("took 4.0 s, ")


def test_status_tells_what_it_took_beside_what_was_planned(ctx: Context) -> None:
    made = record(ran(ctx, TABLE, seconds=4.0, megabytes=500))
    assert actuals.told(made) == "took 4.0 s, 477 MiB"
    planned = foreseen(ctx, TABLE).to_json()
    text = actuals.told(replace(made, provenance={"estimate": planned}))
    assert text.startswith("took 4.0 s, 477 MiB (planned ")
    assert actuals.told(record({})) == ""
