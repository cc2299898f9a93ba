"""Compares a shadow's answers with the stable version's: the prediction logs of both, joined by request id as they grow.

A copy and its original may be logged a minute apart. What has no partner by then is left out, and so is the oldest when
there is more than fits: the comparison is a sample, and says of how many. What was counted goes into the controller's totals.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl.rollout.shadow import answered, difference
from mlctl.runtime.controller.tail import Tail

PARTNER_SECONDS = 60.0
_SETTLED_SECONDS = 1.5  # after its last line: a request of several rows can be logged in two pieces
_MOST_WAITING = 50_000
_EXAMPLES = 10
_SHADOW = "shadow"


@dataclass(slots=True)
class _Request:
    """What was read so far of a request: lines of the original and of its copy."""

    first: float
    last: float
    lines: dict[bool, list[Mapping[str, Any]]] = field(default_factory=lambda: {False: [], True: []})


@dataclass(slots=True)
class Report:
    """What the comparison found since it began, for people."""

    compared: int = 0
    mismatches: int = 0
    without_answer: int = 0  # the original failed: nothing to compare with
    alone: int = 0  # copies whose original was not found
    copy_errors: int = 0
    seconds: float = 0.0  # of the originals that were compared, and of their copies
    copy_seconds: float = 0.0
    examples: list[dict[str, str]] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """As it is kept and shown."""
        number = self.compared or 1
        return {
            "compared": self.compared, "mismatches": self.mismatches, "without_answer": self.without_answer, "alone": self.alone,
            "copy_errors": self.copy_errors, "seconds": self.seconds, "copy_seconds": self.copy_seconds,
            "mean_slower_seconds": (self.copy_seconds - self.seconds) / number, "examples": list(self.examples),
        }  # fmt: skip


class Comparison:
    """Of one step: made anew from `memory` when the controller was killed. A new one leaves out what was logged before."""

    def __init__(self, folders: Iterable[Path], memory: Mapping[str, Any] | None = None) -> None:
        kept = memory or {}
        self._tail = Tail(folders, kept.get("offsets"))
        if not kept:
            self._tail.skip()
        stored = dict(kept.get("report", {}))
        stored.pop("mean_slower_seconds", None)
        self.report = Report(**stored)
        self._waiting: dict[str, _Request] = {}

    def update(self, now: float) -> tuple[int, int]:
        """Read what is new and compare what is complete. Gives how many answers were compared just now, and how many differ.

        `now` is of a clock that goes on; it is only used for waiting.
        """
        before = self.report.compared, self.report.mismatches
        while lines := self._tail.read():
            for line in lines:
                self._take(line, now)
            self._make_room()
        self._settle(now)
        return self.report.compared - before[0], self.report.mismatches - before[1]

    def memory(self) -> dict[str, Any]:
        """What a later controller goes on from: nothing is compared twice; what waits for its partner now is left out."""
        return {"offsets": dict(self._tail.offsets), "report": self.report.to_json()}

    def _take(self, line: Mapping[str, Any], now: float) -> None:
        name = line.get("request_id")
        if not isinstance(name, str):
            return
        request = self._waiting.get(name)
        if request is None:
            request = self._waiting[name] = _Request(now, now)
        request.last = now
        kept = {part: line.get(part) for part in ("code", "latency_seconds", "score", "prediction", "answer_digest")}
        request.lines[line.get("role") == _SHADOW].append(kept)

    def _settle(self, now: float) -> None:
        done = []
        for name, request in self._waiting.items():
            whole = all(request.lines.values())
            if now - request.last >= _SETTLED_SECONDS and whole:
                self._compare(name, request)
                done.append(name)
            elif now - request.first >= PARTNER_SECONDS:
                self._leave_out(request)
                done.append(name)
        for name in done:
            del self._waiting[name]

    def _make_room(self) -> None:
        for name in list(self._waiting)[: max(0, len(self._waiting) - _MOST_WAITING)]:
            self._leave_out(self._waiting.pop(name))

    def _leave_out(self, request: _Request) -> None:
        self.report.alone += bool(request.lines[True])  # most originals have no copy: only a share is mirrored

    def _compare(self, name: str, request: _Request) -> None:
        try:
            one, copy = answered(request.lines[False]), answered(request.lines[True])
        except (KeyError, TypeError, ValueError):
            return  # lines of another program
        report = self.report
        if not one.good:
            report.without_answer += 1
            return
        report.compared += 1
        report.copy_errors += not copy.good
        report.seconds += one.seconds
        report.copy_seconds += copy.seconds
        what = difference(one, copy)
        if what is None:
            return
        report.mismatches += 1
        if len(report.examples) < _EXAMPLES:
            report.examples.append({"request_id": name, "difference": what[:300], "code": str(copy.code)})
