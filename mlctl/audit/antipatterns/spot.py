"""A7: a machine that may be taken away at any moment, and work that is lost with it."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A7", "spot without checkpoints", "a preemption throws away what was paid for")
_LONGEST_SECONDS = 900.0  # of work that one preemption may cost


def check(case: Case) -> Iterator[Finding]:
    """Checkpoints often enough, and a proof that a kill loses nothing. Where they go, the executor asks itself."""
    for training in case.all("training"):
        if training.get("executor.spot"):
            yield from _often(training)
            yield from _proven(case, training)


def _often(training: Subject) -> Iterator[Finding]:
    seconds, every = training.output("seconds"), str(training.get("checkpoint.every") or "")
    count, _, unit = every.partition(" ")
    if unit == "minutes":
        between = 60.0 * float(count)
    elif unit == "epochs" and isinstance(seconds, int | float) and training.get("epochs"):
        between = seconds * float(count) / float(training.get("epochs"))
    else:
        return  # steps: how long one takes is not on record
    if between > _LONGEST_SECONDS:
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"a preemption may cost {training.address} {between / 60:.0f} minutes of work",
            (f"{training.address} checkpoint.every: {every}",),
            "write `every: 10 minutes`",
            training.address,
            ("checkpoint", "every"),
        )


def _proven(case: Case, training: Subject) -> Iterator[Finding]:
    made = case.checked(training.address, "kill-test")
    if made is None or made.verdict != "passed":
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"nobody has seen that {training.address} survives a kill"
            if made is None
            else f"{training.address} did not survive a kill",
            ("kill test: none" if made is None else f"decision {made.id}: {made.rule}",),
            f"mlctl train {training.address} --kill-test",
            training.address,
        )
