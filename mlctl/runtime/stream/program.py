"""The `stream` program: keep what a topic brings, and the windows over it fresh online, until told to stop.

A message is checked, computed with, appended to the event log and flushed to the disk; only then is its offset committed. A kill before
that brings it again, and a key that is known already changes nothing. Some time after a step of the grid has ended, its
windows are computed and written to the online store, where the later event time wins.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.stream.events import Event, NoEvent, Reader, unreadable
from mlctl.runtime.stream.feed import Feed, open_feed
from mlctl.runtime.stream.log import EventLog, dead_letter
from mlctl.runtime.stream.steps import Steps
from mlctl.runtime.stream.trial import Trial
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.server import READY_FILE
from mlctl.types.jobs.stream import STATUS_FILE, StreamJob, StreamStatus

_TICK_SECONDS = 0.25
_STATUS_SECONDS = 1.0
_RETRY_SECONDS = 2.0

T = TypeVar("T")


def main(params: dict[str, object], report: Report) -> JobResult:
    """Run until SIGTERM. Raises MlctlError when the broker or the store cannot be had at the start, or are gone for good."""
    folder = report.folder.absolute()
    atomic.write_json(folder / contract.PROCESS_FILE, {"pid": os.getpid(), "started": time.time()})
    job = StreamJob.model_validate(params)
    refused = unreadable(job.view.source)
    if refused:
        raise MlctlError.of(
            "stream.column-type",
            f"{', '.join(f'`{name}` ({kind})' for name, kind in sorted(refused.items()))} cannot come as an event",
            "an event is JSON: texts, numbers, times, true and false",
            "stream into a view whose source has such columns only",
        )
    asyncio.run(Worker(job, folder).run())
    say("everything that came is kept")
    return JobResult(JobStatus.DONE)


class Worker:
    """The parts of the program, put together. The log is written by one thread and the windows are computed by another."""

    def __init__(self, job: StreamJob, folder: Path) -> None:
        self._job = job
        self._folder = folder
        self._log = EventLog(Path(job.log))
        required = tuple(key.name for key in job.view.keys)
        self._reader = Reader(job.view.source, job.view.timestamp, required)
        self._trial = Trial(job.view, folder)
        self._steps = Steps(job, folder)
        self._feed: Feed = open_feed(job)
        self._log_thread = ThreadPoolExecutor(1, thread_name_prefix="log")
        self._step_thread = ThreadPoolExecutor(1, thread_name_prefix="windows")
        self._fresh: list[Event] = []  # in the log, and not in the windows yet
        self._bad = 0
        self._told: StreamStatus | None = None
        self._told_at = 0.0

    async def run(self) -> None:
        """Begin, go on step by step, and end in order."""
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        began = time.monotonic()
        await self._on(self._step_thread, self._steps.begin)
        try:
            await self._feed.start(self._take)
            try:
                await self._tell(force=True)
                atomic.write_json(self._folder / READY_FILE, {"stream": self._job.stream, "topic": self._job.topic})
                say(f"listening to `{self._job.topic}` after {time.monotonic() - began:.1f} s")
                while not stop.is_set():
                    await self._turn()
                    try:
                        await asyncio.wait_for(stop.wait(), _TICK_SECONDS)
                    except TimeoutError:
                        pass
                say("stopping")
            finally:
                await self._feed.stop()
            await self._absorb()
            await self._tell(force=True)
        finally:
            await self._on(self._step_thread, self._steps.close)
            await self._on(self._log_thread, self._trial.close)
            self._log.close()

    async def _take(self, bodies: Sequence[bytes]) -> None:
        """Keep a batch. Returns when it is on the disk; while the disk takes nothing, nothing is committed."""
        now = time.time()
        read: list[tuple[bytes, Event]] = []
        bad: list[tuple[bytes, str]] = []
        for body in bodies:
            try:
                read.append((body, self._reader.read(body, now)[0]))
            except NoEvent as reason:
                bad.append((body, str(reason)))
        refused = await self._on(self._log_thread, self._trial.refused, [event for _, event in read])
        bad += [(read[place][0], reason) for place, reason in refused.items()]
        events = [event for place, (_, event) in enumerate(read) if place not in refused]
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        letters = [dead_letter(body, reason, at) for body, reason in bad]
        while True:
            try:
                await self._on(self._log_thread, self._log.bury, letters)
                letters = []
                await self._on(self._log_thread, self._log.append, events)
                break
            except OSError as error:
                say(f"the event log cannot be written, and is tried again: {error}")
                await asyncio.sleep(_RETRY_SECONDS)
        self._bad += len(bad)
        self._fresh += events

    async def _turn(self) -> None:
        """Take in what came, compute a step that is over, and tell."""
        problem = self._feed.problem()
        if problem:
            raise MlctlError.of(
                "stream.ended",
                f"the stream `{self._job.stream}` gets no more messages",
                problem,
                "run `mlctl apply`: it starts the worker again",
            )
        await self._absorb()
        due = self._steps.due(time.time())
        if due is not None and (self._steps.seen(due) or await self._feed.lag() in (0, None)):
            await self._on(self._step_thread, self._steps.publish, due)
        await self._tell()

    async def _absorb(self) -> None:
        events, self._fresh = self._fresh, []
        if events:
            await self._on(self._step_thread, self._steps.take, events)

    async def _tell(self, *, force: bool = False) -> None:
        """Write the status, when it says something new and the last one is a second old."""
        if not force and time.monotonic() - self._told_at < _STATUS_SECONDS:
            return
        status = self._steps.status().model_copy(
            update={"events": self._log.sequence, "bad": self._bad, "lag": await self._feed.lag()}
        )
        if not force and status == self._told:
            return
        self._told, self._told_at = status, time.monotonic()
        at = datetime.now(UTC).isoformat(timespec="seconds")
        try:
            atomic.write_json(self._folder / STATUS_FILE, status.model_copy(update={"at": at}).model_dump(mode="json"))
        except OSError as error:
            say(f"the status cannot be written: {error}")

    async def _on(self, thread: ThreadPoolExecutor, work: Callable[..., T], *arguments: object) -> T:
        return await asyncio.get_running_loop().run_in_executor(thread, work, *arguments)


def say(text: str) -> None:
    """A line in the log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
