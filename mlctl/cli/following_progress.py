"""The progress of a worker program as lines between those of its log."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

from mlctl.types.address import Address
from mlctl.types.event import StepProgress
from mlctl.views.human.apply import describe

_SECONDS = 2.0  # between two lines of the same kind


class ProgressLines:
    """Reads the event file of a job as it grows."""

    def __init__(self, events: Path, address: Address) -> None:
        self._events, self._address = events, address
        self._offset = 0
        self._rest = b""
        self._first: tuple[str, float, float] | None = None  # what is counted, since when, from which count
        self._told = ("", 0.0)

    def before(self, lines: int) -> list[str]:
        """What it held up to now: its last so many lines, or all of them for 0."""
        found = self._read()
        if found:
            self._told = (found[-1].message, time.monotonic())
        return [describe(event, None) for event in (found[-lines:] if lines else found)]

    def news(self) -> Iterator[str]:
        """What there is to say now: the newest line of each kind, and of one kind not more than one every few seconds."""
        found = self._read()
        for index, event in enumerate(found):
            last = index + 1 == len(found)
            now = time.monotonic()
            left = self._left(event, now)
            message, at = self._told
            if (last or found[index + 1].message != event.message) and (
                message != event.message or now - at > _SECONDS
            ):
                self._told = (event.message, now)
                yield describe(event, left)

    def _read(self) -> list[StepProgress]:
        if not self._events.exists():
            return []
        with open(self._events, "rb") as stream:
            stream.seek(self._offset)
            data = stream.read()
        self._offset += len(data)
        *lines, self._rest = (self._rest + data).split(b"\n")
        return [event for event in map(self._event, lines) if event is not None]

    def _event(self, line: bytes) -> StepProgress | None:
        try:
            stored = json.loads(line)
            return StepProgress(
                self._address, stored["message"], stored["done"], stored["total"], stored["unit"], stored["metrics"]
            )
        except (ValueError, KeyError, TypeError):  # torn by a kill or a full disk
            return None

    def _left(self, event: StepProgress, now: float) -> float | None:
        """Seconds left at the pace since it was first seen."""
        if event.done is None or event.total is None:
            return None
        if self._first is None or self._first[0] != event.unit or event.done < self._first[2]:
            self._first = (event.unit, now, event.done)
        _, since, start = self._first
        if event.done <= start or now - since < 1:
            return None
        return (now - since) * (event.total - event.done) / (event.done - start)
