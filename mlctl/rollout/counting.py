"""What was counted of a variant as JSON: as the middleware writes it, the controller keeps it, and a gate's looks are kept."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mlctl.rollout.evidence import Counts, Histogram


def counts_to(counts: Counts) -> dict[str, Any]:
    """As JSON. A histogram is kept from its first bucket that is not empty to its last."""
    stored = asdict(counts)
    for name in ("seconds", "ttft"):
        stored[name] = _packed(getattr(counts, name))
    return {name: value for name, value in stored.items() if value not in (0, 0.0, (), None)}


def counts_from(stored: Mapping[str, Any]) -> Counts:
    """Read what `counts_to` wrote, or a variant as the middleware writes it. Raises KeyError, TypeError or ValueError."""
    return Counts(
        requests=int(stored.get("requests", 0)),
        errors=int(stored.get("errors", 0)),
        seconds=_histogram(stored.get("seconds")),
        ttft=_histogram(stored.get("ttft")),
        tokens=int(stored.get("tokens", 0)),
        decoding_seconds=float(stored.get("decoding_seconds", 0.0)),
        compared=int(stored.get("compared", 0)),
        mismatches=int(stored.get("mismatches", 0)),
        answers=int(stored.get("answers", 0)),
        empty=int(stored.get("empty", 0)),
        cut=int(stored.get("cut", 0)),
        scores=tuple(int(item) for item in stored.get("scores") or ()),
    )


def _packed(histogram: Histogram) -> dict[str, Any] | None:
    if not histogram.number:
        return None
    filled = [place for place, count in enumerate(histogram.counts) if count]
    first, last = filled[0], filled[-1]
    return {"first": first, "counts": list(histogram.counts[first : last + 1]), "total": histogram.total}


def _histogram(stored: Mapping[str, Any] | None) -> Histogram:
    if not stored:
        return Histogram()
    counts: Sequence[int] = stored.get("counts") or ()
    first, length = int(stored.get("first", 0)), len(Histogram().counts)
    whole = (0,) * first + tuple(int(count) for count in counts)
    if len(whole) > length:
        raise ValueError(f"{len(whole)} buckets; there are {length}")
    return Histogram(whole + (0,) * (length - len(whole)), float(stored.get("total", 0.0)))
