"""How a command is asked to end early: at the next checkpoint, at once, or by letting long jobs go on without it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum


class Manner(IntEnum):
    """What is asked of running steps. A later request may only be more urgent than the one before."""

    DETACH = 1  # jobs that can go on alone do, the rest stops at its next safe point
    STOP = 2  # everything stops at its next safe point: a training writes a checkpoint first
    KILL = 3  # everything ends now; what the last checkpoint holds is kept


class Interrupt:
    """One request to end, seen by every thread of a command. Safe to set from a signal handler."""

    def __init__(self) -> None:
        self._event = threading.Event()
        self._manner: Manner | None = None
        self._children: list[Interrupt] = []

    def request(self, manner: Manner) -> None:
        """Ask for an end; a request that is less urgent than the present one changes nothing."""
        if self._manner is None or manner > self._manner:
            self._manner = manner
        self._event.set()
        for child in tuple(self._children):
            child.request(manner)

    def is_set(self) -> bool:
        """Whether an end was asked for, in whatever manner: nothing new may begin."""
        return self._event.is_set()

    @property
    def manner(self) -> Manner | None:
        """What was asked for; None while nothing was."""
        return self._manner

    def wait(self, seconds: float) -> bool:
        """Sleep, but no longer than until an end is asked for. Gives `is_set()`."""
        return self._event.wait(seconds)

    @contextmanager
    def child(self) -> Iterator[Interrupt]:
        """An interrupt of one step: asked of it alone, or of the whole command and so of it too."""
        child = Interrupt()
        self._children.append(child)
        try:
            if self._manner is not None:
                child.request(self._manner)
            yield child
        finally:
            self._children.remove(child)

    def set(self) -> None:
        """Ask to stop at the next safe point."""
        self.request(Manner.STOP)
