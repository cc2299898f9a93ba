"""How long one step may take, and how often it is tried: `timeout` and `retries` of a block."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TypeVar

from mlctl.provider import Context, Spec
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.estimate import Limit
from mlctl.types.event import Progress
from mlctl.types.interrupt import Manner
from mlctl.types.spoken import spoken_seconds
from mlctl.types.units import format_duration

T = TypeVar("T")

GRACE_SECONDS = 60.0  # between asking for a stop and ending it: a job writes its checkpoint meanwhile

# Areas of codes that say what is wrong with what was given: with the same input they come again, however often it is tried.
_OF_INPUT = frozenset({"spec", "data", "plan", "state", "policy", "budget", "import", "cli", "kind", "extra"})


def patiently(do: Callable[[Context], T], spec: Spec, ctx: Context, limit: Limit | None = None) -> T:
    """Do something within the time its block allows, and as often as the block allows while the error may pass. Raises its last error.

    `limit` is what the budget allows of it, all tries together. Where whoever runs it ends it, which is told the same limit at
    each try, there is none after that time.
    """
    begun = time.monotonic()
    allowed = 0 if spec.retries is None else spec.retries.max
    tried = 0
    if limit is not None and limit.seconds <= 0:  # lives before this one have had it all
        raise _used_up(limit)
    while True:
        try:
            return _once(do, spec.timeout, ctx, limit, begun)
        except (MlctlError, OSError) as error:
            if tried == allowed or not may_pass(error) or ctx.stop.is_set():
                raise
            if limit is not None and limit.carried and time.monotonic() - begun >= limit.seconds:
                raise  # another try would have all of it once more
            pause = 0.0 if spec.retries is None else spec.retries.backoff * 2**tried
            tried += 1
            again = f"again in {format_duration(pause)} ({tried} of {allowed})"
            ctx.progress(Progress(f"failed, {again}: {ctx.secrets.hidden(_summary(error))}"))
            if ctx.stop.wait(pause):
                raise


def _once(do: Callable[[Context], T], timeout: float | None, ctx: Context, limit: Limit | None, begun: float) -> T:
    """One attempt, within its `timeout` and what the budget leaves of all attempts since `begun`."""
    if limit is not None and not limit.carried:
        left = begun + limit.seconds - time.monotonic()
        if left <= 0:
            raise _used_up(limit)
        if timeout is None or left < timeout:
            return _in_time(do, left, ctx, lambda error: _used_up(limit))
    return _in_time(do, timeout, ctx, lambda error: _too_long(timeout or 0.0, error))


def may_pass(error: Exception) -> bool:
    """Whether trying again can help: not when the input is wrong, nor when somebody asked for an end."""
    if not isinstance(error, MlctlError):
        return isinstance(error, OSError)
    if error.exit_code is ExitCode.INTERRUPTED:
        return False
    return not any(item.code.partition(".")[0] in _OF_INPUT for item in error.diagnostics)


def _in_time(
    do: Callable[[Context], T], timeout: float | None, ctx: Context, late: Callable[[Exception], MlctlError]
) -> T:
    """One attempt. At its deadline it is asked to stop, after a grace it is ended; what it has by then still counts."""
    if timeout is None:
        return do(ctx)
    with ctx.stop.child() as stop:
        over = threading.Event()

        def ask() -> None:
            over.set()
            stop.request(Manner.STOP)

        timers = [
            threading.Timer(timeout, ask),
            threading.Timer(timeout + GRACE_SECONDS, stop.request, (Manner.KILL,)),
        ]
        for timer in timers:
            timer.daemon = True
            timer.start()
        try:
            return do(replace(ctx, stop=stop))
        except (MlctlError, OSError) as error:
            if not over.is_set() or ctx.stop.is_set():
                raise
            raise late(error) from error
        finally:
            for timer in timers:
                timer.cancel()


def _too_long(timeout: float, error: Exception) -> MlctlError:
    return MlctlError.of(
        "step.timeout",
        f"it was not done within {format_duration(timeout)}",
        f"`timeout` bounds one attempt; asked to stop, it said: {_summary(error)}",
        "apply again: what has a checkpoint goes on from there; or raise `timeout`",
    )


def _used_up(limit: Limit) -> MlctlError:
    after = f" after {spoken_seconds(limit.seconds)}" if limit.seconds > 0 else " before it went on"
    return MlctlError.of(
        "budget.reached",
        f"it was ended{after}: `budget.{limit.by}` allows no more",
        "what it had learnt is in its last checkpoint, where its kind writes any",
        f"raise `{limit.by}` and apply again: it goes on from the checkpoint, and what it took so far counts",
        exit_code=ExitCode.POLICY,
    )


def _summary(error: Exception) -> str:
    if isinstance(error, MlctlError) and error.diagnostics:
        return error.diagnostics[0].summary
    return str(error) or type(error).__name__
