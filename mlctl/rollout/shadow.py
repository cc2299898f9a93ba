"""Whether a copy of a request got the same answer as the request itself, by what both releases logged of it."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

# How far two numbers may lie apart and be the same answer: what other kernels or another batch make of one computation.
RELATIVE, ABSOLUTE = 1e-5, 1e-8


@dataclass(frozen=True, slots=True)
class Answered:
    """What one release made of a request: its status, its time, and a figure for each prediction."""

    code: int
    seconds: float
    rows: tuple[Any, ...]

    @property
    def good(self) -> bool:
        """Whether there is an answer that could be compared."""
        return 200 <= self.code < 300


def answered(lines: Sequence[Mapping[str, Any]]) -> Answered:
    """The lines that the prediction log has of one request, as one. Raises KeyError, TypeError or ValueError for other lines.

    A decision (`prediction`, if it is no float) is what counts of a classifier: scores of two versions are never the same,
    and how far they moved has a metric of its own. A number is compared as a number, a text by its digest.
    """
    return Answered(int(lines[0]["code"]), float(lines[0]["latency_seconds"]), tuple(_figure(line) for line in lines))


def difference(one: Answered, copy: Answered, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> str | None:
    """What differs, in words; None when the answers are the same."""
    if not copy.good:
        return f"code {copy.code} instead of {one.code}"
    if len(one.rows) != len(copy.rows):
        return f"{len(copy.rows)} predictions instead of {len(one.rows)}"
    for number, (mine, theirs) in enumerate(zip(one.rows, copy.rows, strict=True)):
        if not _same(mine, theirs, relative, absolute):
            place = f"prediction {number}: " if len(one.rows) > 1 else ""
            return f"{place}{theirs!r} instead of {mine!r}"
    return None


def _figure(line: Mapping[str, Any]) -> Any:
    if line.get("answer_digest") is not None:
        return line["answer_digest"]
    prediction = line.get("prediction")
    return line.get("score") if prediction is None else prediction


def _same(one: Any, other: Any, relative: float, absolute: float) -> bool:
    if _number(one) and _number(other) and (isinstance(one, float) or isinstance(other, float)):
        return math.isclose(one, other, rel_tol=relative, abs_tol=absolute) or (one != one and other != other)
    if isinstance(one, list) and isinstance(other, list):
        pairs = zip(one, other, strict=False)
        return len(one) == len(other) and all(_same(mine, theirs, relative, absolute) for mine, theirs in pairs)
    return bool(one == other)


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
