"""How long the machines of a training have been at work, over all lives of their job. What is taken away takes its clock with it,
so that the count is kept in the bucket.
"""

from __future__ import annotations

import time

from mlctl.runtime.trainer.objects import Objects

SPENT_FILE = "spent.json"  # {"seconds"}
_NOTE_SECONDS = 20.0  # what a machine that is lost may have been at work uncounted


class Meter:
    """Of one attempt, kept by its first machine. Raises MlctlError when the bucket does not answer."""

    def __init__(self, run: Objects, allowed: float | None) -> None:
        self.allowed = allowed
        self._run = run
        self._before = float((run.get_json(SPENT_FILE) or {}).get("seconds", 0.0))
        self._began = self._noted_at = time.monotonic()

    @property
    def seconds(self) -> float:
        """All lives together, up to now."""
        return self._before + time.monotonic() - self._began

    @property
    def over(self) -> bool:
        """Whether the budget allows no more."""
        return self.allowed is not None and self.seconds >= self.allowed

    def note(self, *, now: bool = False) -> None:
        """Keep the count, every few seconds."""
        if now or time.monotonic() - self._noted_at >= _NOTE_SECONDS:
            self._noted_at = time.monotonic()
            self._run.put_json(SPENT_FILE, {"seconds": round(self.seconds, 1)})
