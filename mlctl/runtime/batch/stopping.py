"""Being asked to stop: a flag that SIGTERM sets, and that the work looks at between two steps."""

from __future__ import annotations

import signal


class Stopped(Exception):
    """The job was asked to stop, and what is made so far counts."""


class StopFlag:
    """Set by SIGTERM or SIGINT."""

    def __init__(self) -> None:
        self._set = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._asked)

    def __call__(self) -> bool:
        """Whether it is to stop."""
        return self._set

    def _asked(self, number: int, frame: object) -> None:
        self._set = True
