"""What failed before: counted in the state, so that a schedule does not try the same thing again and again.

A person who applies has looked, and is obeyed at once. A schedule has not: it waits a while after each failure, longer each
time, and after some in a row it leaves the object alone until its spec or its inputs change or somebody applies.
"""

from __future__ import annotations

import time
from calendar import timegm
from dataclasses import replace

from mlctl.provider import Context, Desired, Input
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Failure, Record
from mlctl.types.units import format_duration
from mlctl.types.value import contains_unknown, digest

LIMIT = 3  # failures in a row
FIRST_WAIT_SECONDS = 600.0  # doubled with each further failure

_FORMAT = "%Y-%m-%dT%H:%M:%SZ"


def failed(record: Record, desired: Desired, error: Exception, ctx: Context) -> Record:
    """The record of a step that was begun, with its failure counted."""
    tried, before = _tried(desired), record.failure
    count = before.count + 1 if before is not None and before.of == tried else 1
    summary = error.diagnostics[0].summary if isinstance(error, MlctlError) and error.diagnostics else str(error)
    shown: str = ctx.secrets.hidden(summary)
    at = time.strftime(_FORMAT, time.gmtime())
    return replace(record, failure=Failure(count, at, shown or type(error).__name__, tried))


def waits(record: Record | None, desired: Desired) -> str:
    """Why a schedule should not try now; empty when it may."""
    failure = None if record is None else record.failure
    if failure is None or failure.of != _tried(desired):
        return ""
    if failure.count >= LIMIT:
        return f"it failed {failure.count} times in a row with the same inputs, the last time at {failure.at}: {failure.summary}"
    pause = FIRST_WAIT_SECONDS * 2 ** (failure.count - 1)
    left = _seconds(failure.at) + pause - time.time()
    if not 0 < left <= pause:  # a clock that was put back must not keep it waiting for longer than was meant
        return ""
    return f"it failed at {failure.at} and is not tried again for {format_duration(pause)}: {failure.summary}"


def _tried(desired: Desired) -> str:
    """The digest of what a step is asked to make."""
    if contains_unknown(desired.values):
        return ""
    inputs = {str(found): item.digest for found, item in desired.inputs.items() if isinstance(item, Input)}
    return digest([desired.identity, {} if desired.parts else [dict(desired.values), inputs]])


def _seconds(text: str) -> float:
    try:
        return float(timegm(time.strptime(text, _FORMAT)))
    except ValueError:
        return 0.0
