"""What others have found out about a deployment, as a note that a plan tells."""

from __future__ import annotations

from dataclasses import replace

from mlctl.files.advice import take
from mlctl.provider import Condition, Context, Observed
from mlctl.types.state import Record


def advised(seen: Observed | None, prior: Record, ctx: Context) -> Observed | None:
    """What was seen, with the advice on this object if it still is of the block as it was applied."""
    if seen is None or seen.condition is Condition.BROKEN:
        return seen
    advice = take(ctx.home, str(prior.key.address))
    if advice is None or any(prior.spec.get(name) != value for name, value in advice.of.items()):
        return seen
    return replace(seen, note="; ".join(part for part in (seen.note, advice.text) if part))
