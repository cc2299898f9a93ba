"""Predict what a topic brings, publish it to another, until told to stop.

Messages are taken in batches; a batch is predicted, published, and only then committed. A kill before that brings its
messages again, and their predictions are published again, with the same ids.
"""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.stream_predictions.dead_letters import append_letters
from mlctl.runtime.stream_predictions.feed import Delivered, Outgoing, Unavailable, open_feed
from mlctl.runtime.stream_predictions.predictor import Predicted, Predictor, StorePaused
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.server import READY_FILE
from mlctl.types.jobs.stream_predictions import DEAD_LETTERS, STATUS_FILE, PredictionStatus, PredictionStreamJob

_STATUS_SECONDS = 1.0
_RETRY_SECONDS = 2.0
_RATE_SECONDS = 30.0
_TICK_SECONDS = 0.25


def main(params: dict[str, object], report: Report) -> JobResult:
    """Run until SIGTERM. Raises MlctlError when the broker, the store or the model cannot be had at the start, or are gone for good."""
    folder = report.folder.absolute()
    atomic.write_json(folder / contract.PROCESS_FILE, {"pid": os.getpid(), "started": time.time()})
    job = PredictionStreamJob.model_validate(params)
    asyncio.run(Worker(job, folder).run())
    say("what was taken is published or comes again")
    return JobResult(JobStatus.DONE)


class Worker:
    """The parts of the program, put together. The broker's messages go into a buffer of one batch, the model runs in a thread."""

    def __init__(self, job: PredictionStreamJob, folder: Path) -> None:
        self._job, self._folder = job, folder
        self._predictor = Predictor(job)
        self._feed = open_feed(job)
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="model")
        self._buffer: deque[Delivered] = deque()
        self._came = asyncio.Event()  # something is in the buffer
        self._room = asyncio.Event()  # the buffer is not full
        self._room.set()
        self._stop = asyncio.Event()
        self._status = PredictionStatus()
        self._recent: deque[tuple[float, int]] = deque([(time.monotonic(), 0)])

    async def run(self) -> None:
        """Begin, go on batch by batch, and end in order: the batch in hand is published, the rest comes again."""
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, self._stop.set)
        began = time.monotonic()
        telling: asyncio.Task[None] | None = None
        pumping = asyncio.create_task(self._pump())
        try:
            starting = asyncio.create_task(self._feed.start(self._take))
            await asyncio.wait([starting, pumping], return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():  # the first batch of all failed for good
                starting.cancel()
                await asyncio.wait([starting])
            else:
                await starting
                telling = asyncio.create_task(self._tell_on())
                await self._tell()
                atomic.write_json(self._folder / READY_FILE, {"stream": self._job.name, "topic": self._job.topic})
                say(f"predicting `{self._job.topic}` into `{self._job.output}` after {time.monotonic() - began:.1f} s")
            await pumping
        finally:
            self._stop.set()
            self._room.set()
            for task in filter(None, (telling, pumping)):
                task.cancel()
            await self._tell()
            await self._feed.stop()
            self._predictor.close()
            self._thread.shutdown(wait=False)

    async def _take(self, messages: Sequence[Delivered]) -> None:
        """Put messages into the buffer; while it is full, the broker keeps the others."""
        await self._room.wait()
        if self._stop.is_set():
            return  # not committed: they come again
        self._buffer.extend(messages)
        self._came.set()
        if len(self._buffer) >= self._job.max_records:
            self._room.clear()

    async def _pump(self) -> None:
        """Batch after batch, until it is to stop."""
        while not self._stop.is_set():
            batch = await self._batch()
            if batch:
                await self._work(batch)
            problem = self._feed.problem() if self._status.at else ""
            if problem and not self._stop.is_set():
                raise MlctlError.of(
                    "stream.ended",
                    f"`{self._job.name}` gets no more messages",
                    problem,
                    "run `mlctl apply`: it starts the worker again",
                )

    async def _batch(self) -> list[Delivered]:
        """Up to `max_records` messages; one that is not full waits at most `max_wait`."""
        try:
            await asyncio.wait_for(self._came.wait(), _TICK_SECONDS)
        except TimeoutError:
            return []
        deadline = time.monotonic() + self._job.max_wait_seconds
        while len(self._buffer) < self._job.max_records and not self._stop.is_set():
            left = deadline - time.monotonic()
            if left <= 0:
                break
            await asyncio.sleep(min(left, 0.005))
        batch = [self._buffer.popleft() for _ in range(min(len(self._buffer), self._job.max_records))]
        if not self._buffer:
            self._came.clear()
        if len(self._buffer) < self._job.max_records:
            self._room.set()
        return batch

    async def _work(self, batch: Sequence[Delivered]) -> None:
        """Predict, publish, commit; whatever does not answer is waited for, and nothing is committed meanwhile."""
        found: list[Predicted] = []

        async def predict() -> None:
            found.append(await asyncio.get_running_loop().run_in_executor(self._thread, self._predictor.predict, batch))

        if not await self._insist(predict):
            return
        made = found[0]
        if made.letters and self._job.on_bad == "stop":
            letter = made.letters[0][1]
            raise MlctlError.of(
                "stream.bad-message",
                f"the message {letter['id']} at {letter['place']} gets no prediction",
                letter["reason"],
                "correct whoever sends it and skip it in the topic, or set `on_bad: dead_letter`",
            )
        done = (
            await self._insist(lambda: self._feed.publish(self._job.output, made.answers))
            and await self._insist(lambda: self._bury(made))
            and await self._insist(lambda: self._feed.commit(batch))
        )
        if done:
            now = time.monotonic()
            total = self._status.predicted + len(made.answers)
            self._recent.append((now, total))
            while len(self._recent) > 2 and now - self._recent[0][0] > _RATE_SECONDS:
                self._recent.popleft()
            last = datetime.now(UTC).isoformat(timespec="seconds")
            self._status = self._status.model_copy(
                update={"predicted": total, "bad": self._status.bad + len(made.letters), "last": last}
            )

    async def _bury(self, made: Predicted) -> None:
        """Keep messages without a prediction, in their topic or in a file."""
        if not made.letters:
            return
        if self._job.dead_letters is not None:
            letters = [Outgoing(json.dumps(letter).encode(), letter["id"], item.mark) for item, letter in made.letters]
            await self._feed.publish(self._job.dead_letters, letters)
            return
        append_letters(self._folder.parent / DEAD_LETTERS, [letter for _, letter in made.letters])

    async def _insist(self, work: Callable[[], Awaitable[None]]) -> bool:
        """Do it, again and again while something that it needs is away. False when it is to stop before that is back."""
        while True:
            try:
                await work()
                self._waiting("")
                return True
            except (Unavailable, StorePaused, OSError) as error:
                if not self._status.waiting:
                    say(f"waiting: {error}")
                self._waiting(str(error))
            try:
                await asyncio.wait_for(self._stop.wait(), _RETRY_SECONDS)
                return False
            except TimeoutError:
                continue

    def _waiting(self, why: str) -> None:
        if why != self._status.waiting:
            self._status = self._status.model_copy(update={"waiting": why})

    async def _tell_on(self) -> None:
        while True:
            await asyncio.sleep(_STATUS_SECONDS)
            await self._tell()

    async def _tell(self) -> None:
        """Write the status."""
        lag = await self._feed.lag()
        (first, before), now = self._recent[0], time.monotonic()
        rate = (self._status.predicted - before) / max(now - first, 1.0)
        self._status = self._status.model_copy(
            update={
                "lag": lag,
                "rate": round(rate, 1),
                "at": datetime.now(UTC).isoformat(timespec="seconds"),
            }
        )
        try:
            atomic.write_json(self._folder / STATUS_FILE, self._status.model_dump(mode="json"))
        except OSError as error:
            say(f"the status cannot be written: {error}")


def say(text: str) -> None:
    """A line in the log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
