"""The lock in a bucket: an object that only one can create, kept by renewing it, free when its holder stops doing so.

A bucket cannot see that a process died, so the lock is a lease. Its age is what the server says, by the server's clock
alone; a holder gives up by a clock of its own that only counts seconds. No two machines' clocks are ever compared.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import asdict, dataclass

from mlctl.engine.store.protocol import Holder, Waiting, locked, pauses
from mlctl.engine.store.s3.bucket import Blob, Bucket, Refused
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity

NAME = "lock.json"
LEASE_SECONDS = 60.0
_RACES = 3  # a lock that comes free or changes hands between two requests is looked at again
_GRAIN_SECONDS = 2.0  # servers tell times in whole seconds: an age may be this much too high


@dataclass(frozen=True, slots=True)
class Taken:
    """A lock as it stands in the bucket."""

    holder: Holder
    lease_seconds: float
    blob: Blob

    @property
    def left_seconds(self) -> float:
        """How long it still counts, if it is not renewed."""
        return self.lease_seconds + _GRAIN_SECONDS - self.blob.age_seconds


def look(bucket: Bucket) -> Taken | None:
    """Who holds the lock; None when nobody does. Raises MlctlError."""
    blob = bucket.get(NAME)
    if blob is None:
        return None
    try:
        value = json.loads(blob.data)
        return Taken(Holder.from_json(value), float(value["lease_seconds"]), blob)
    except (ValueError, KeyError, TypeError):
        nobody = Holder("", "somebody", "", 0, "an unknown time", "something")
        return Taken(nobody, LEASE_SECONDS, blob)


class Lease:
    """The lock while this process holds it. A thread renews it; `check` says whether it still counts."""

    def __init__(self, bucket: Bucket, holder: Holder, seconds: float) -> None:
        self.holder = holder
        self.warnings: list[Diagnostic] = []
        self._bucket = bucket
        self._seconds = seconds
        self._beats = 0
        self._etag = ""
        self._renewed = 0.0
        self._lost = ""
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._beat, name="mlctl-lease", daemon=True)

    def acquire(self, wait_seconds: float, waiting: Waiting | None) -> None:
        """Take the lock, from a holder whose lease ran out too. Raises MlctlError with exit code 6 while another holds it."""
        sleep, told = pauses(wait_seconds), False
        while (problem := self._try()) is not None:
            if waiting is not None and not told and wait_seconds > 0:
                waiting(problem)
                told = True
            if not sleep():
                raise problem
        self._thread.start()

    def check(self) -> None:
        """Raise MlctlError unless the lock is ours, now and for another moment."""
        if not self._lost and _now() > self._renewed + self._seconds - _GRAIN_SECONDS / 2:
            self._lost = f"it could not be renewed for {self._seconds:.0f} s, so another writer may have taken it over"
        if self._lost:
            raise MlctlError.of(
                "state.lease-lost",
                f"the lock on {self._bucket.place} is not ours any more",
                self._lost,
                "nothing more is written; what was recorded is in the journal in the bucket: run the command again",
            )

    def release(self) -> None:
        """Let go. What cannot be removed now runs out by itself."""
        self._over.set()
        self._thread.join()
        try:
            if not self._lost:
                self._bucket.delete_if(NAME, self._etag)
        except MlctlError as error:
            why = f"{error}; it runs out in {self._seconds:.0f} s by itself"
            self.warnings.append(
                Diagnostic("state.lock-left", "the lock could not be removed", why, "", Severity.WARNING)
            )

    def _try(self) -> MlctlError | None:
        """Take the lock, or say who has it."""
        problem = locked(None, str(self._bucket.place))
        for _ in range(_RACES):
            began = _now()
            try:
                self._etag = self._bucket.put(NAME, self._body(), absent=True)
                self._renewed = began
                return None
            except Refused:
                taken = look(self._bucket)
            if taken is None:
                continue  # it was just let go
            problem = _held(taken, self._bucket)
            if taken.left_seconds > 0:
                return problem
            with suppress(Refused):  # somebody else may be taking it over at this very moment
                self._etag = self._bucket.put(NAME, self._body(), match=taken.blob.etag)
                self._renewed = began
                self.warnings.append(_took_over(taken))
                return None
        return problem

    def _beat(self) -> None:
        """Renew the lease three times in its length, and more often once that fails."""
        pause = self._seconds / 3
        while not self._over.wait(pause):
            self._beats += 1
            began = _now()
            try:
                self._etag = self._bucket.put(NAME, self._body(), match=self._etag)
            except Refused as refused:
                who = "nobody" if refused.there is None else "another writer"
                self._lost = f"{who} holds it now: it was taken away by `mlctl force-unlock`, or it had run out"
                return
            except MlctlError:  # `check` gives up when the time is over; until then the network may come back
                pause = self._seconds / 10
                continue
            self._renewed, pause = began, self._seconds / 3

    def _body(self) -> bytes:
        value = {**asdict(self.holder), "lease_seconds": self._seconds, "beats": self._beats}
        return json.dumps(value, indent=1, sort_keys=True).encode() + b"\n"


def _held(taken: Taken, bucket: Bucket) -> MlctlError:
    problem = locked(taken.holder, str(bucket.place))
    (item,) = problem.diagnostics
    why = f"{item.why}. Unless it is renewed, its lease runs out in {max(taken.left_seconds, 1):.0f} s, and the next writer takes over"
    return MlctlError.of(item.code, item.summary, why, item.fix, exit_code=problem.exit_code)


def _took_over(taken: Taken) -> Diagnostic:
    return Diagnostic(
        "state.lease-taken-over",
        f"the lock of {taken.holder} was taken over",
        f"its lease of {taken.lease_seconds:.0f} s had run out by the server's clock: the process or its machine is gone",
        "look at the next plan closely",
        Severity.WARNING,
    )


def _now() -> float:
    """Seconds of a clock that nobody can set, and that goes on while the machine sleeps."""
    return time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
