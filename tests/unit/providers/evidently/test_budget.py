"""A label budget from what a monitor froze, and the predictions to label."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlctl.provider import Context
from mlctl.providers.evidently import budget
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from mlctl.views.human import label_budget as human
from tests.unit.providers.evidently.test_outcome_parts import BINARY, CTR, LABELS, apply

NOW = datetime(2026, 5, 20, tzinfo=UTC)


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def write_log(ctx: Context, rows: int, **fields: object) -> None:
    path = ctx.root / "log" / "2026-05-19.jsonl"
    path.parent.mkdir(exist_ok=True)
    with open(path, "a") as stream:
        for index in range(rows):
            row = {
                "ts": (NOW - timedelta(seconds=60 + index)).isoformat(),
                "request_id": f"r{index}",
                "version": "3",
                "score": 0.5,
                "prediction": 1,
            }
            stream.write(json.dumps({**row, **fields}) + "\n")


def test_a_budget_is_that_of_the_error_rate_that_was_held_out(ctx: Context) -> None:
    found = budget.budget(apply(ctx, BINARY, labels=LABELS), ctx, 0.05, 0.9)
    assert (found.error_rate, found.drop, found.power, found.alpha) == (0.25, 0.05, 0.9, 0.05)
    points = {labels: power for labels, power, _ in found.curve}
    assert points[found.labels] >= 0.9 > points[400]
    assert found.explained is not None
    assert found.labels_with_confidence is not None
    assert found.labels_with_confidence <= found.labels
    assert found.ripe is None  # it was never run
    said = human.text("m", found.to_json())
    assert said.startswith(
        f"m: {found.labels:,} labels show a rise of the error rate from 25.00% to 30.00% in 90% of the cases"
    )
    assert "with confidence" in said


def test_a_bound_that_was_given_is_a_budget_without_the_help_of_confidence(ctx: Context) -> None:
    found = budget.budget(apply(ctx, labels={**LABELS, "baseline": {"error_rate": 0.1}}), ctx, 0.03, 0.8)
    assert (found.error_rate, found.explained, found.labels_with_confidence) == (0.1, None, None)
    assert all(helped is None for _, _, helped in found.curve)
    assert "confidence" not in human.text("m", found.to_json())


def test_what_has_no_budget_is_refused(ctx: Context) -> None:
    with pytest.raises(MlctlError, match="no number of labels"):
        budget.budget(apply(ctx, BINARY, labels=LABELS), ctx, 0.8, 0.8)
    with pytest.raises(MlctlError, match="has no `labels`"):
        budget.budget(apply(ctx, proxies=[CTR]), ctx, 0.03, 0.8)
    adwin = apply(ctx, labels={**LABELS, "detector": "adwin"})
    with pytest.raises(MlctlError, match="how often the model errs"):
        budget.budget(adwin, ctx, 0.03, 0.8)
    with pytest.raises(MlctlError, match="was not applied yet"):
        budget.budget(Record(ObjectKey(Address("monitors", "m"), "")), ctx, 0.03, 0.8)


def test_rows_to_label_are_drawn_at_random_and_are_the_same_whoever_asks(ctx: Context) -> None:
    record = apply(ctx, BINARY, labels=LABELS)
    write_log(ctx, 300)
    write_log(ctx, 300, version="2", request_id="of another version")
    write_log(ctx, 2, request_id="of two rows")
    write_log(ctx, 1, request_id=None)  # nobody could say what its label is about
    write_log(ctx, 5, ts="2026-05-01T00:00:00+00:00", request_id="too old for a label")
    drawn = budget.draw(record, ctx, 40, NOW)
    assert drawn == budget.draw(record, ctx, 40, NOW)
    assert len({row["request_id"] for row in drawn}) == 40
    assert all(str(row["request_id"]).startswith("r") for row in drawn)
    assert [row["ts"] for row in drawn] == sorted(row["ts"] for row in drawn)
    early = sum(int(str(row["request_id"])[1:]) < 150 for row in drawn)
    assert 8 < early < 32  # not the first ones, nor the last
    assert {row["request_id"] for row in drawn} < {row["request_id"] for row in budget.draw(record, ctx, 80, NOW)}
    assert len(budget.draw(record, ctx, 1000, NOW)) == 300
