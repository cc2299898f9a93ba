"""What a prediction log says of requests: how many of them asked what was asked before, and how many could have shared a batch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from mlctl.types.estimate import Range

FEWEST = 100  # requests that say something of those to come


@dataclass(frozen=True, slots=True)
class Request:
    """One request: when it was answered, how long that took, and what equal ones have in common."""

    at: float
    seconds: float
    same: str | None  # equal for requests of which all that is known is equal
    alike: str | None  # equal for those of the same key or prompt


def requests_of(rows: Iterable[Mapping[str, Any]]) -> list[Request]:
    """Requests that were answered by the model, in the order of time, from their lines. A request of several rows has as many."""
    lines: dict[str, list[Mapping[str, Any]]] = {}
    for row in rows:
        if row.get("code") == 200 and not row.get("cached") and isinstance(row.get("request_id"), str):
            lines.setdefault(row["request_id"], []).append(row)
    found = [made for group in lines.values() if (made := _request(group)) is not None]
    return sorted(found, key=lambda item: item.at)


def repeated(requests: Sequence[Request], ttl: float) -> Range | None:
    """The share of requests that a cache would have answered: as equal ones had been within the time to live. Between those that
    are equal in all that was logged, and those with the same key or prompt; None where too little was logged to say."""
    if len(requests) < FEWEST or any(item.alike is None for item in requests):
        return None
    surely = _hits([(item.at, item.same) for item in requests], ttl)
    perhaps = _hits([(item.at, item.alike) for item in requests], ttl)
    low, high = min(surely, perhaps), max(surely, perhaps)
    return Range(low, low, high, f"the last {len(requests):,} requests of the prediction log")


def batched(requests: Sequence[Request], most: int) -> Range | None:
    """The share of calls of the model that are not needed when what is queued goes through it at once, by playing the log again
    on one worker; None where too little was logged to say."""
    if len(requests) < FEWEST:
        return None
    times = sorted(item.seconds for item in requests)
    arrivals = sorted(item.at - item.seconds for item in requests)
    low, mid, high = (
        1 - _calls(arrivals, times[int(len(times) * part)], most) / len(arrivals) for part in (0.1, 0.5, 0.9)
    )
    return Range(
        min(low, mid), mid, max(mid, high), f"the last {len(requests):,} requests of the prediction log, played again"
    )


def _request(rows: Sequence[Mapping[str, Any]]) -> Request | None:
    first = rows[0]
    try:
        at, seconds = datetime.fromisoformat(str(first["ts"])).timestamp(), float(first["latency_seconds"])
    except (KeyError, ValueError, TypeError):
        return None
    version = first.get("version")
    if "prompt_digest" in first:
        asked = [first.get("request_model"), first.get("prompt_digest"), first.get("system_digest")]
        # whether an answer was drawn is not logged: such a request is never answered from a cache
        return Request(at, seconds, f"{first['request_id']}", _digest([version, asked]))
    if all(row.get("key") is None and row.get("features") is None for row in rows):
        return Request(at, seconds, None, None)
    keyed = [row.get("key") if row.get("key") is not None else row.get("features") for row in rows]
    whole = [[row.get("key"), row.get("features")] for row in rows]
    return Request(at, seconds, _digest([version, whole]), _digest([version, keyed]))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()


def _hits(asked: Iterable[tuple[float, str | None]], ttl: float) -> float:
    """An answer is good for so long from when it was computed, as a cache keeps it."""
    kept: dict[str | None, float] = {}
    hits = count = 0
    for at, key in asked:
        count += 1
        if key in kept and at - kept[key] <= ttl:
            hits += 1
        else:
            kept[key] = at
    return hits / count if count else 0.0


def _calls(arrivals: Sequence[float], seconds: float, most: int) -> int:
    """How often the model is called when each call takes what has come until it begins, up to so many."""
    calls = place = 0
    free = float("-inf")
    while place < len(arrivals):
        begin = max(free, arrivals[place])
        end = place
        while end < len(arrivals) and arrivals[end] <= begin and end - place < most:
            end += 1
        place, free, calls = end, begin + seconds, calls + 1
    return calls
