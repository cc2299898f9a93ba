"""Put rows of concurrent requests through the model together."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

Row = list[float]

_MAX_WAITING_ROWS = 8192


class Overloaded(Exception):
    """More rows wait than the server takes in."""


class Batcher:
    """Takes what is queued, up to `max_size` rows, each time the model is free; a batch that is not full waits `max_wait_seconds`.

    With no wait, batches grow by themselves under load (the queue fills while the model is at work) and a lone request
    pays nothing. The model runs in one thread of its own, so the event loop goes on reading requests.
    """

    def __init__(
        self,
        predict: Callable[[Sequence[Row]], Sequence[float]],
        max_size: int,
        max_wait_seconds: float,
        on_batch: Callable[[int], None],
    ) -> None:
        self._predict = predict
        self._max_size = max_size
        self._max_wait_seconds = max_wait_seconds
        self._on_batch = on_batch
        self._queue: asyncio.Queue[_Item] = asyncio.Queue()
        self._waiting = 0
        self._late: _Item | None = None  # taken from the queue and too large for the batch it came for
        self._executor = ThreadPoolExecutor(1, thread_name_prefix="model")

    async def submit(self, rows: Sequence[Row]) -> list[float]:
        """One score for each row. Raises Overloaded, and whatever the model raises for these rows (and no others')."""
        if self._waiting + len(rows) > _MAX_WAITING_ROWS:
            raise Overloaded
        items = [_Item(rows[start : start + self._max_size]) for start in range(0, len(rows), self._max_size)]
        self._waiting += len(rows)
        for item in items:
            self._queue.put_nowait(item)
        try:
            return [score for part in await asyncio.gather(*(item.scores for item in items)) for score in part]
        finally:
            self._waiting -= len(rows)

    async def run(self) -> None:
        """Work until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            batch = await self._collect()
            rows = [row for item in batch for row in item.rows]
            if not rows:
                continue
            self._on_batch(len(rows))
            try:
                scores = await loop.run_in_executor(self._executor, self._predict, rows)
            except Exception:  # one bad row must not fail the requests that happen to share its batch
                for item in batch:
                    await self._alone(item)
                continue
            start = 0
            for item in batch:
                item.finish(scores[start : start + len(item.rows)])
                start += len(item.rows)

    def close(self) -> None:
        """Let the model's thread end."""
        self._executor.shutdown(wait=False)

    async def _collect(self) -> list[_Item]:
        batch = [self._late or await self._queue.get()]
        self._late = None
        count = len(batch[0].rows)
        try:
            async with asyncio.timeout(self._max_wait_seconds or None):
                while count < self._max_size:
                    if self._queue.empty() and not self._max_wait_seconds:
                        break
                    item = await self._queue.get()
                    if count + len(item.rows) > self._max_size:
                        self._late = item
                        break
                    batch.append(item)
                    count += len(item.rows)
        except TimeoutError:
            pass  # waited long enough
        return [item for item in batch if not item.scores.done()]  # a request that timed out meanwhile wants no answer

    async def _alone(self, item: _Item) -> None:
        try:
            item.finish(await asyncio.get_running_loop().run_in_executor(self._executor, self._predict, item.rows))
        except Exception as error:  # belongs to the request, which answers with it
            if not item.scores.done():
                item.scores.set_exception(error)


class _Item:
    """The rows of one request, or a part of them, and where their scores go."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.scores: asyncio.Future[Sequence[float]] = asyncio.get_running_loop().create_future()

    def finish(self, scores: Sequence[float]) -> None:
        """Hand the scores over, unless the request has given up."""
        if not self.scores.done():
            self.scores.set_result(scores)
