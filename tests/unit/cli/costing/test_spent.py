"""What records and prediction logs say of costs."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.cli.costing import spent
from mlctl.engine.ledger import Ledger
from mlctl.engine.promotion import PROMOTED_FROM
from mlctl.estimate.actuals import MEASURED, STEP
from mlctl.provider import Context
from mlctl.registry import Registry
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.estimate import Estimate, Range
from mlctl.types.state import Failure, Pending, Record, State

SINCE, NOW = datetime(2026, 11, 1, tzinfo=UTC), datetime(2026, 11, 11, tzinfo=UTC)
RENTED = Estimate(
    "H100", 8, seconds=Range(50, 100, 200), usd=Range(1, 2, 3), hourly=Range(20, 36, 50), tier="on_demand"
)
SERVER = Estimate("cpu", 1, hourly=Range.exactly(0.5), lasting=True, tier="owned")


def record(
    name: str, foretold: Estimate | None, at: str = "2026-11-02T00:00:00Z", seconds: float = 7200.0, **outputs: Any
) -> Record:
    facts: dict[str, Any] = {"at": at, "seconds": seconds}
    facts |= {} if foretold is None else {"estimate": foretold.to_json()}
    return Record(ObjectKey.parse(name), "id", outputs=outputs, sequence=1, provenance=facts)


kind = Registry().kind


def ledger(*records: Record) -> Ledger:
    return Ledger(State("l", 1, {item.key: item for item in records}))


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def test_what_the_kind_measured_counts_and_else_the_step_at_the_price_of_then() -> None:
    measured = record(
        "training.a#1", RENTED, estimate={"actual": {"held_seconds": 120.0, "usd": 1.2, "seconds": 100.0}}
    )
    searched = record("training.b#1", RENTED, at="2026-11-03T00:00:00Z")
    owned = record("training.c#1", replace(RENTED, hourly=None, usd=None, tier=None), at="2026-11-04T00:00:00Z")
    found = spent.runs(ledger(owned, searched, measured), SINCE, kind)
    assert [(run.address, run.seconds, run.usd, run.basis) for run in found] == [
        ("training.a", 120.0, 1.2, MEASURED),
        ("training.b", 7200.0, 72.0, STEP),
        ("training.c", 7200.0, None, STEP),
    ]
    assert found[2].why == "what it ran on has no price"


def test_what_is_older_or_was_never_foretold_is_no_run() -> None:
    old = record("training.a#1", RENTED, at="2026-10-31T23:59:59Z")
    plain, lasting = record("datasets.c#1", None), record("deployments.d#1", SERVER)
    going = replace(record("deployments.e#1", SERVER), pending=Pending.DELETE)
    unmade = replace(record("datasets.f#1", None), pending=Pending.APPLY)
    assert spent.runs(ledger(old, plain, lasting, going, unmade), SINCE, kind) == []


def test_what_has_not_ended_held_devices_too_at_a_cost_that_is_unknown() -> None:
    failed = Failure(1, "2026-11-05T00:00:00Z", "it was ended: `budget.max_usd_per_run` allows no more")
    torn = Record(ObjectKey.parse("training.a#1"), None, pending=Pending.APPLY, failure=failed)
    killed = Record(ObjectKey.parse("training.b#1"), None, pending=Pending.APPLY)
    before = replace(torn, key=ObjectKey.parse("training.c#1"), failure=replace(failed, at="2026-10-31T00:00:00Z"))
    found = spent.runs(ledger(torn, killed, before), SINCE, kind)
    assert [(run.address, run.at, run.usd) for run in found] == [
        ("training.b", "", None),
        ("training.a", "2026-11-05T00:00:00Z", None),
    ]
    assert all(run.why for run in found)


def test_what_was_promoted_is_paid_for_where_it_was_made() -> None:
    made = record("training.a#1", RENTED, estimate={"actual": {"held_seconds": 120.0, "usd": 1.2, "seconds": 100.0}})
    taken = replace(made, provenance={**made.provenance, PROMOTED_FROM: "dev"})
    assert len(spent.runs(ledger(made), SINCE, kind)) == 1
    assert spent.runs(ledger(taken), SINCE, kind) == []


def test_a_deployment_that_is_down_and_has_no_log_here_cost_nobody_knows_what(ctx: Context) -> None:
    made = record("deployments.a#1", SERVER, predictions="gone")
    found = spent._service(made, SERVER, ctx, (SINCE, NOW), False, 1, lambda address, share: None)
    assert (found.hourly, found.hours, found.usd) == (0.5, None, None)
    assert found.notes[0] == "it does not run, and no log here says until when it did"


def test_deployments_of_one_machine_share_what_it_costs(ctx: Context) -> None:
    folder = ctx.root / "log"
    folder.mkdir()
    rows = [{"ts": "2026-11-09T00:00:00+00:00", "request_id": str(number), "code": 200} for number in range(10)]
    (folder / "2026-11-09.jsonl").write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    made = record("deployments.a#1", SERVER, at="2026-11-10T00:00:00Z", predictions="log")
    told: list[str] = []
    found = spent._service(made, SERVER, ctx, (SINCE, NOW), True, 2, lambda address, share: told.append(address))
    assert (found.hourly, found.hours, found.usd, found.per_thousand) == (0.25, 48.0, 12.0, 1200.0)
    assert found.notes == ("its machine has 2 deployments, each of which pays an equal part",)
    assert told == ["deployments.a"]


def test_a_deployment_without_a_price_or_a_log_here_says_so(ctx: Context) -> None:
    unpriced = replace(SERVER, device="L4", hourly=None, tier=None)
    far = record("deployments.a#1", unpriced, predictions="gone")
    found = spent._service(far, unpriced, ctx, (SINCE, NOW), True, 0, lambda address, share: None)
    assert (found.hourly, found.usd, found.counts) == (None, None, None)
    assert len(found.notes) == 2
    before = spent._lasting(record("deployments.old#1", None))
    assert before is not None
    assert (before.hourly, before.lasting) == (None, True)
    assert spent._lasting(record("training.a#1", None)) is None
