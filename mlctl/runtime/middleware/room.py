"""Room for predictions: so many at once, so many more that wait, and no more."""

from __future__ import annotations

import asyncio
from collections import deque

from .settings import Limits
from .tally import Tally


class Full(Exception):
    """There is no room, neither to work on the request nor to let it wait."""


class Room:
    """Counts who is inside. Who waits is let in first come, first served."""

    def __init__(self, limits: Limits | None, tally: Tally) -> None:
        self._limits = limits
        self._tally = tally
        self._waiting: deque[asyncio.Future[None]] = deque()

    async def enter(self) -> None:
        """Come in, at once or when somebody leaves. Raises Full."""
        limits = self._limits
        if limits is None or (self._tally.running < limits.max_running and not self._waiting):
            self._tally.running += 1
            return
        if len(self._waiting) >= limits.max_waiting:
            raise Full
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._tally.waiting += 1
        try:
            await turn  # whoever leaves hands the place over
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave()  # it was our turn already
            elif turn in self._waiting:  # else somebody who left has passed it over already
                self._waiting.remove(turn)
            raise
        finally:
            self._tally.waiting -= 1

    @property
    def retry_after_seconds(self) -> float:
        """When whoever finds no room had better come again."""
        return 1.0 if self._limits is None else self._limits.retry_after_seconds

    def leave(self) -> None:
        """Make room for the one who has waited longest."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._tally.running -= 1
