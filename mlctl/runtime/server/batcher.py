"""Put rows of concurrent requests through the model together."""

from __future__ import annotations

import asyncio
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

Row = Sequence[Any]
Predict = Callable[[Sequence[Row]], Sequence[Any]]

_MAX_WAITING_ROWS = 8192
_COMING_SECONDS = 0.002  # how long a batch may go on growing turn by turn
_READY = 2  # batches that the model may have: one at work, one for when it has done that


class Overloaded(Exception):
    """More rows wait than the server takes in."""


class Batcher:
    """Puts what is queued, up to `max_size` rows, through the model each time it is free; a batch that is not full waits
    `max_wait_seconds` for more, from when the model is free.

    With no wait, batches grow by themselves under load (the queue fills while the model is at work) and a lone request
    pays nothing. The model runs in one thread of its own, so the event loop goes on reading requests; it is woken once for
    a batch and not for each row, and a full batch is laid ready for it while it is at work on the one before.
    """

    def __init__(
        self, predict: Predict, max_size: int, max_wait_seconds: float, on_batch: Callable[[int], None]
    ) -> None:
        self._predict = predict
        self._max_size = max_size
        self._max_wait_seconds = max_wait_seconds
        self._on_batch = on_batch
        self._items: deque[_Item] = deque()  # in the order they came
        self._gathered = 0  # rows of them
        self._waiting = 0  # rows of all requests that have no answer yet
        self._handed = 0  # batches that the model is at work on, or that lie ready
        self._timer: asyncio.Handle | None = None
        self._seen = 0  # rows that were gathered at the last look
        self._until = 0.0  # when no more are waited for
        self._since: float | None = None  # when the batch that the model is at work on went in
        self._batches: queue.SimpleQueue[list[_Item] | None] = queue.SimpleQueue()
        self._loop: asyncio.AbstractEventLoop | None = None

    async def submit(self, rows: Sequence[Row]) -> list[Any]:
        """One output for each row. Raises Overloaded, and whatever the model raises for these rows (and no others')."""
        count = len(rows)
        if self._waiting + count > _MAX_WAITING_ROWS:
            raise Overloaded
        loop = asyncio.get_running_loop()
        self._waiting += count
        try:
            if count <= self._max_size:
                item = _Item(rows, loop.create_future())
                self._take([item], loop)
                return list(await item.outputs)
            size = self._max_size
            items = [_Item(rows[start : start + size], loop.create_future()) for start in range(0, count, size)]
            self._take(items, loop)
            return [output for part in await asyncio.gather(*(item.outputs for item in items)) for output in part]
        finally:
            self._waiting -= count

    async def run(self) -> None:
        """Have the model work until cancelled."""
        self._loop = asyncio.get_running_loop()
        threading.Thread(target=self._work, name="model", daemon=True).start()
        await self._loop.create_future()

    def busy_seconds(self) -> float:
        """How long the model has been at work on its present batch."""
        since = self._since
        return 0.0 if since is None else time.monotonic() - since

    def close(self) -> None:
        """Let the model's thread end."""
        self._batches.put(None)

    def _take(self, items: Sequence[_Item], loop: asyncio.AbstractEventLoop) -> None:
        self._items.extend(items)
        self._gathered += sum(len(item.rows) for item in items)
        self._offer(loop)

    def _offer(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand full batches over, and see that what is left is handed over in time once the model is free."""
        while self._gathered >= self._max_size and self._handed < _READY:
            self._hand()
        if not self._items or self._handed or self._timer is not None:
            return
        self._seen = self._gathered
        self._until = loop.time() + self._max_wait_seconds + _COMING_SECONDS
        if not self._max_wait_seconds:
            self._timer = loop.call_soon(self._due, loop)
        else:
            self._timer = loop.call_later(self._max_wait_seconds, self._due, loop)

    def _due(self, loop: asyncio.AbstractEventLoop) -> None:
        """Hand over what there is, unless more came in this very turn of the loop: then still more is likely to be at hand, and
        reading that first costs less than a batch of its own. A lone request pays one turn for it."""
        self._timer = None
        if not self._items or self._handed:
            return
        coming = self._gathered > self._seen
        if coming and loop.time() < self._until:
            self._seen = self._gathered
            self._timer = loop.call_soon(self._due, loop)
        else:
            self._hand()

    def _hand(self) -> None:
        """Give the model its next batch: the oldest rows, as many as fit."""
        batch: list[_Item] = []
        count = 0
        while self._items and (not batch or count + len(self._items[0].rows) <= self._max_size):
            item = self._items.popleft()
            count += len(item.rows)
            batch.append(item)
        self._gathered -= count
        self._handed += 1
        self._batches.put(batch)

    def _work(self) -> None:
        """The model's thread."""
        while (batch := self._batches.get()) is not None:
            wanted = [item for item in batch if not item.outputs.done()]  # who timed out meanwhile wants no answer
            self._since = time.monotonic()
            answers = self._answers(wanted) if wanted else []
            self._since = None
            try:
                self._loop.call_soon_threadsafe(self._deliver, answers)  # type: ignore[union-attr]  # set before we began
            except RuntimeError:  # the loop is closed: nobody waits any more
                return

    def _deliver(self, answers: Sequence[tuple[_Item, Sequence[Any] | Exception]]) -> None:
        """Hand outputs to their requests, unless those have given up; in the event loop."""
        self._handed -= 1
        for item, answer in answers:
            if item.outputs.done():
                continue
            if isinstance(answer, Exception):
                item.outputs.set_exception(answer)
            else:
                item.outputs.set_result(answer)
        self._offer(asyncio.get_running_loop())

    def _answers(self, batch: list[_Item]) -> list[tuple[_Item, Sequence[Any] | Exception]]:
        rows = [row for item in batch for row in item.rows]
        self._on_batch(len(rows))
        try:
            outputs = self._predict(rows)
        except Exception as error:  # one bad row must not fail the requests that happen to share its batch
            return [(item, error if len(batch) == 1 else self._alone(item)) for item in batch]
        found: list[tuple[_Item, Sequence[Any] | Exception]] = []
        start = 0
        for item in batch:
            found.append((item, outputs[start : start + len(item.rows)]))
            start += len(item.rows)
        return found

    def _alone(self, item: _Item) -> Sequence[Any] | Exception:
        try:
            return self._predict(item.rows)
        except Exception as error:  # belongs to the request, which answers with it
            return error


class _Item:
    """The rows of one request, or a part of them, and where their outputs go."""

    __slots__ = ("outputs", "rows")

    def __init__(self, rows: Sequence[Row], outputs: asyncio.Future[Sequence[Any]]) -> None:
        self.rows = rows
        self.outputs = outputs
