"""Checks of the closed loop, which the levels ask for beside those of the ML Test Score."""

from __future__ import annotations

from mlctl.audit.case import Case
from mlctl.audit.maturity.check import Check, Seen
from mlctl.types.decision import Decision

_DAYS = 30


def _closed(case: Case) -> Seen:
    """A chain of causes: an alarm, a retraining because of it, and what a rollout made of that."""
    known = {item.id: item for item in case.decisions}

    def from_alarm(item: Decision | None) -> bool:
        while item is not None:
            if item.kind == "monitor" and item.verdict == "alarm":
                return True
            item = known.get(item.cause)
        return False

    made = [
        item
        for item in case.decisions
        if item.kind == "rollout" and case.days_since(item.at) <= _DAYS and from_alarm(known.get(item.cause))
    ]
    found = ", ".join(f"{item.id} {item.verdict}" for item in made)
    return Seen(bool(made), f"rollouts that an alarm led to, in {_DAYS} days: {found or 'none'}")


CLOSED = Check(
    "closed-loop",
    "An alarm led to a retraining and a rollout, lately",
    "add `on_alarm: {retrain: training.NAME}` to a monitor; mlctl demo drift shows it",
    _closed,
)
