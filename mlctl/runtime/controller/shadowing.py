"""Has a shadow's answers compared with the stable version's for as long as a gate wants to know."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

from mlctl.rollout.seen import Question
from mlctl.rollout.state import RolloutState
from mlctl.runtime.controller.compare import Comparison
from mlctl.runtime.controller.metering import Metering, copies_of

_INTERVAL_SECONDS = 1.0
_MEMORY = "shadow"  # in the state's memory of the step


class Shadowing:
    """One comparison for each step that mirrors requests. What it found is kept with the step."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._token: int | None = None
        self._comparison: Comparison | None = None
        self._updated = float("-inf")

    @property
    def report(self) -> dict[str, Any] | None:
        """What was found of the step that is in effect."""
        return None if self._comparison is None else self._comparison.report.to_json()

    def follow(self, question: Question | None, state: RolloutState, metering: Metering) -> RolloutState:
        """Compare what is new; the state with what has to be remembered of it."""
        if question is None or not question.mirrored:
            self._token, self._comparison = None, None
            return state
        if self._comparison is None or self._token != question.token:
            kept = state.memory.get(_MEMORY) or {}
            memory = kept.get("comparison") if kept.get("token") == question.token else None
            self._token, self._comparison = question.token, Comparison(sorted(set(self._folders(state))), memory)
        moment = time.monotonic()
        if moment - self._updated < _INTERVAL_SECONDS:
            return state
        self._updated = moment
        compared, mismatches = self._comparison.update(moment)
        if compared:
            counted = copies_of(question.candidate) if question.copies else question.candidate
            metering.meter.compared(counted, compared, mismatches)
        elif _MEMORY in state.memory:
            return state
        memory = {"token": question.token, "comparison": self._comparison.memory()}
        return replace(state, memory={**state.memory, _MEMORY: memory})

    def _folders(self, state: RolloutState) -> Iterator[Path]:
        """Where the releases log their predictions."""
        for number in state.variants().values():
            log = state.releases[number].revision.params.get("log") or {}
            if log.get("folder"):
                yield self._root / log["folder"]
