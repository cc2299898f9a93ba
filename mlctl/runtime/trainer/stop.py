"""A request to stop, as a flag that is looked at between two steps."""

from __future__ import annotations

import signal
from typing import Any, Protocol


class Stop(Protocol):
    """Whether to stop, by whoever may ask for it."""

    @property
    def set(self) -> bool:
        """Whether somebody did."""
        ...


class StopSignal:
    """SIGTERM or SIGINT sets it. The handler does nothing else: it may run anywhere."""

    def __init__(self) -> None:
        self.set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._on_signal)

    def _on_signal(self, _number: int, _frame: Any) -> None:
        self.set = True
