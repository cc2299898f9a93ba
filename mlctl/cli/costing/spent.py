"""What the objects of an environment did cost: gathered from their records and from the prediction logs on this machine."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

from mlctl.engine.budget import paid
from mlctl.engine.health import survey
from mlctl.engine.ledger import Ledger
from mlctl.engine.priced import made_with
from mlctl.engine.promotion import PROMOTED_FROM
from mlctl.estimate.actuals import MEASURED, STEP, Run, Service, hours_up
from mlctl.files.log_counts import count
from mlctl.provider import Context, Estimates, Family, Kind
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.log_counts import Counts
from mlctl.types.state import Pending, Record
from mlctl.workspace import Workspace

Progress = Callable[[str, float], None]


def runs(ledger: Ledger, since: datetime, kinds: Callable[[str], Kind]) -> list[Run]:
    """Everything that was made since a moment and of which anything was foretold or measured, oldest first; and what was begun and
    has not ended, of kinds that can tell what they take."""
    made = [run for record in ledger if record.complete and (run := _run(record)) is not None]
    found = [item for item in made if item.at >= _text(since)]
    begun = [_begun(record) for record in ledger if record.pending is Pending.APPLY and _costs(record, kinds)]
    found += [item for item in begun if not item.at or item.at >= _text(since)]
    return sorted(found, key=lambda item: (item.at, item.key))


def _costs(record: Record, kinds: Callable[[str], Kind]) -> bool:
    try:
        kind = kinds(record.key.address.section)
    except MlctlError:  # of a package that is not installed any more
        return False
    return kind.family is Family.BUILD and isinstance(kind, Estimates)


def _begun(record: Record) -> Run:
    """It held devices too, for as long as it was at work."""
    at = "" if record.failure is None else record.failure.at
    return Run(
        str(record.key.address),
        str(record.key),
        at,
        None,
        why="it has not ended, and what it took so far was not counted",
    )


def _run(record: Record) -> Run | None:
    foretold, actual = made_with(record), _actual(record)
    if PROMOTED_FROM in record.provenance:  # the other environment has paid for it
        return None
    if foretold is not None and foretold.lasting:
        return None
    if foretold is None and not actual:
        return None
    at, steps = str(record.provenance.get("at", "")), _number(actual.get("seconds"))
    seconds, usd = _number(actual.get("held_seconds", actual.get("seconds"))), paid(record)
    made = Run(str(record.key.address), str(record.key), at, foretold, span=seconds if "start" in actual else steps)
    if usd is not None:
        return replace(made, seconds=seconds, usd=usd)
    step = _number(record.provenance.get("seconds"))
    if foretold is not None and foretold.hourly is not None and step is not None:  # such as a search
        return replace(made, seconds=step, usd=foretold.hourly.mid * step / 3600, basis=STEP)
    why = "what it ran on has no price" if foretold is None or foretold.hourly is None else "nobody measured it"
    basis = MEASURED if seconds is not None else STEP
    return replace(made, seconds=step if seconds is None else seconds, basis=basis, why=why)


def services(
    workspace: Workspace, ledger: Ledger, ctx: Context, since: datetime, now: datetime, progress: Progress
) -> list[Service]:
    """Every deployment that stands, with what its log says of the time."""
    well = {item.address: item.well for item in survey(ledger, workspace.kind, ctx)}
    records = [record for address in ledger.addresses() if (record := ledger.made(address)) is not None]
    lasting = [(record, estimate) for record in records if (estimate := _lasting(record)) is not None]
    here = sum(estimate.device == "cpu" and estimate.hourly is not None for _, estimate in lasting)
    return [
        _service(record, estimate, ctx, (since, now), well.get(record.key.address, False), here, progress)
        for record, estimate in lasting
    ]


def _lasting(record: Record) -> Estimate | None:
    """What was foretold of a deployment; of one that was made before anything was, that nothing was."""
    estimate = made_with(record)
    if estimate is not None:
        return estimate if estimate.lasting else None
    return Estimate("unknown", 1, lasting=True) if record.key.address.section == "deployments" else None


def _service(
    record: Record,
    estimate: Estimate,
    ctx: Context,
    span: tuple[datetime, datetime],
    up: bool,
    here: int,
    tell: Progress,
) -> Service:
    since, now = span
    address, at = str(record.key.address), str(record.provenance.get("at", ""))
    counts = _counts(record, ctx, since, lambda share: tell(address, share))
    begun, hours = hours_up(at, counts, since, now, up=up)
    return Service(
        address=address,
        since=_text(begun),
        hours=hours,
        up=up,
        hourly=_hourly(estimate, here),
        counts=counts,
        notes=tuple(_notes(estimate, hours, counts, here)),
    )


def _hourly(estimate: Estimate, here: int) -> float | None:
    """Of a machine without GPUs that has several deployments, each pays an equal part."""
    if estimate.hourly is None:
        return None
    return estimate.hourly.mid / here if estimate.device == "cpu" else estimate.hourly.mid


def _notes(estimate: Estimate, hours: float | None, counts: Counts | None, here: int) -> Iterator[str]:
    if hours is None:
        yield "it does not run, and no log here says until when it did"
    if estimate.hourly is None:
        yield "what it runs on has no price: write one into the project's price list, tier `owned` for machines of your own"
    elif estimate.device == "cpu" and here > 1:
        yield f"its machine has {here} deployments, each of which pays an equal part"
    if counts is None:
        yield "its prediction log is not on this machine"
    elif counts.uncounted:
        yield f"{counts.uncounted:,} answers without a count of tokens are in no sum of them"


def _counts(record: Record, ctx: Context, since: datetime, progress: Callable[[float], None]) -> Counts | None:
    folder = record.outputs.get("predictions")
    if not isinstance(folder, str) or not (ctx.root / folder).is_dir():
        return None
    return count(Path(ctx.root / folder), since.isoformat(), progress)


def _actual(record: Record) -> dict[str, Any]:
    stored = record.outputs.get("estimate")
    actual = stored.get("actual") if isinstance(stored, dict) else None
    return actual if isinstance(actual, dict) else {}


def _number(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
