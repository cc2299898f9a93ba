"""What requests that were answered say of batching and caching them, from a deployment's prediction log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from mlctl.estimate.advice import CACHING, Difference, Saving, Tactic
from mlctl.estimate.requests import FEWEST, batched, repeated, requests_of
from mlctl.files.log_tail import newest
from mlctl.types.estimate import Range

if TYPE_CHECKING:
    from mlctl.cli.costing.position import Position
    from mlctl.cli.costing.workloads import Found
    from mlctl.provider import Context

LINES = 100_000  # of the log that are looked at
TTL = 600.0  # seconds: what is proposed
ROWS_AT_ONCE = 32


def of_requests(tactic: Tactic, found: Found, before: Position | None, ctx: Context) -> tuple[Saving | None, str]:
    """The share of the work that is not needed with it, or why that is not known."""
    outputs: Any = {} if found.record is None else found.record.outputs
    folder = outputs.get("predictions")
    if not isinstance(folder, str):
        return None, "what is asked of it is not logged yet"
    requests = requests_of(newest(ctx.root / folder, LINES))
    if len(requests) < FEWEST:
        return None, f"only {len(requests)} requests are logged, and {FEWEST} at least say something of those to come"
    work = repeated(requests, TTL) if tactic is CACHING else batched(requests, ROWS_AT_ONCE)
    if work is None:
        return None, "it is not logged what was asked"
    usd = None
    if before is not None and before.judged is not None and before.workload.lasting:
        saved = before.judged.option.hourly.times(work)
        # nothing is saved while as many replicas stay
        usd = Difference(0.0, 0.0, saved.high, f"{work.basis}; the most, with as many fewer replicas")
    return Saving(usd=usd, per="an hour", work=_rounded(work)), ""


def _rounded(work: Range) -> Range:
    return Range(round(work.low, 4), round(work.mid, 4), round(work.high, 4), work.basis)
