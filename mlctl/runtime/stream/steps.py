"""Which step of the grid is over, and bringing its windows online."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from mlctl.runtime.stream.events import Event
from mlctl.runtime.stream.served import ServedStep, read_served, same_definition, write_definition, write_served
from mlctl.runtime.stream.window import Window, naive
from mlctl.runtime.stream.writer import Writer
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.stream import StreamJob, StreamStatus

_RETRY_SECONDS = 5.0


class Steps:
    """The steps of one view. To be used by one thread, but for `due`, `seen` and `status`, which only read.

    A step is over when its end and the lateness have passed. As in the batch, steps go up to the last event of all, so that
    a stream that falls silent serves what the batch would.
    """

    def __init__(self, job: StreamJob, folder: Path) -> None:
        self._job = job
        self._grid = job.view.grid_seconds
        self._window = Window(job.view, Path(job.log), folder)
        self._writer = Writer(job.view)
        self._last_event: datetime | None = None
        self._events = 0  # of the log, in the windows
        self._published: datetime | None = None  # the end of the last step that is online
        self._whole = True  # the first step after a start is computed for all keys in reach
        self._retry_at = 0.0
        self._status = StreamStatus()

    def begin(self) -> None:
        """Read what there is, and see that the online store answers. Raises MlctlError."""
        self._writer.open()
        served = naive(datetime.fromisoformat(self._job.served_until))
        step = read_served(Path(self._job.log))
        stored = self._published = None if step is None else step.until
        oldest = min(served, stored or served, self._end_of_step(time.time()))
        since = oldest - self._window.reach - 2 * timedelta(seconds=self._grid)
        # what a stream of another definition brought online is newer than any snapshot, and only this one replaces it
        known = self._window.fill(since, everything=not same_definition(Path(self._job.log), self._job.view))
        self._last_event, self._events = known.last_event, known.events
        self._note()

    def close(self) -> None:
        """Let go of the database and the store."""
        self._window.close()
        self._writer.close()

    def take(self, events: Sequence[Event]) -> None:
        """Events that are in the log now."""
        loaded = self._window.load(events, self._published)
        self._events += len(events)
        newest = max(datetime.fromisoformat(event[self._job.view.timestamp]) for event in events)
        self._last_event = newest if self._last_event is None else max(newest, self._last_event)
        self._status = self._status.model_copy(
            update={
                "duplicates": self._status.duplicates + loaded.duplicates,
                "late": self._status.late + loaded.late,
            }
        )
        self._note()

    def due(self, now: float) -> datetime | None:
        """The end of the last step that is over, when it is not online yet."""
        if self._last_event is None or time.monotonic() < self._retry_at:
            return None
        over = self._end_of_step(now - self._job.lateness_seconds)
        last = self._end_of_step(self._last_event.replace(tzinfo=UTC).timestamp()) + timedelta(seconds=self._grid)
        end = min(over, last)
        if self._published is None or end > self._published or (self._whole and end == self._published):
            return end
        return None

    def seen(self, end: datetime) -> bool:
        """Whether an event after a step has come: what is still on its way from before it is late."""
        return self._last_event is not None and self._last_event >= end

    def publish(self, end: datetime) -> None:
        """Compute the windows that end there, and write them. A store that is away is tried again; nothing is lost by that."""
        began, written = time.monotonic(), 0
        try:
            for portion in self._window.compute(None if self._whole else self._published, end):
                written += self._writer.write(portion, end)
        except MlctlError as error:
            if error.diagnostics[0].code != "features.store-down":
                raise
            print(f"{error.diagnostics[0].summary}; it is tried again", file=sys.stderr, flush=True)
            self._retry_at = time.monotonic() + _RETRY_SECONDS
            return
        write_definition(Path(self._job.log), self._job.view)
        write_served(Path(self._job.log), ServedStep(end, self._events))
        self._window.forget(end)
        fresh = time.time() - end.replace(tzinfo=UTC).timestamp()
        print(
            f"step until {end.isoformat()}: {written:,} keys online after {time.monotonic() - began:.2f} s",
            file=sys.stderr,
            flush=True,
        )
        self._published, self._whole = end, False
        self._status = self._status.model_copy(update={"published": written, "freshness_seconds": round(fresh, 3)})
        self._note()

    def status(self) -> StreamStatus:
        """What was done, and where it is."""
        return self._status

    def _note(self) -> None:
        self._status = self._status.model_copy(
            update={"last_event": _text(self._last_event), "last_step": _text(self._published)}
        )

    def _end_of_step(self, seconds: float) -> datetime:
        """The last end of a step at or before a moment, naive in UTC."""
        end = math.floor(seconds / self._grid) * self._grid
        return datetime.fromtimestamp(end, UTC).replace(tzinfo=None)


def _text(moment: datetime | None) -> str | None:
    return None if moment is None else moment.replace(tzinfo=UTC).isoformat()
