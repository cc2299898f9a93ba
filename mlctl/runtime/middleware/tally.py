"""What a server counts, by variant: times in fixed buckets, so that what several processes counted can be added up."""

from __future__ import annotations

import time
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from functools import reduce
from typing import Any

from .call import CANDIDATE, STABLE

# The buckets of `mlctl.rollout.evidence.BOUNDS`, which this package cannot import; a test holds both equal.
BOUNDS = tuple(1e-4 * 1.1**number for number in range(170))
MOST_VARIANTS = 64  # a client may name one in a header, and each takes memory and lines of the metrics
OTHER = "other"
ROWS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
SCORES = 100

Json = dict[str, Any]


class Buckets:
    """How many values fell below each bound and above the one before, one more for those above all; and their sum."""

    __slots__ = ("_bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...] = BOUNDS) -> None:
        self._bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """One more value."""
        self.counts[bisect_left(self._bounds, value)] += 1
        self.total += value

    def to_json(self) -> Json:
        """As it is stored."""
        return {"counts": list(self.counts), "total": self.total}


class Variant:
    """What one variant did."""

    __slots__ = (
        "answers",
        "codes",
        "cut",
        "decoding_seconds",
        "empty",
        "errors",
        "exemplars",
        "hits",
        "misses",
        "missing",
        "predictions",
        "prompt_tokens",
        "queue",
        "requests",
        "scores",
        "seconds",
        "tokens",
        "tpot",
        "ttft",
    )  # fmt: skip

    def __init__(self) -> None:
        self.requests = self.errors = self.predictions = self.tokens = self.prompt_tokens = self.hits = self.misses = 0
        self.answers = self.empty = self.cut = 0  # texts that came to their end; without a word; ended by their length
        self.decoding_seconds = 0.0
        self.codes: dict[str, int] = {}
        self.missing: dict[str, int] = {}
        self.seconds, self.ttft, self.tpot, self.queue = Buckets(), Buckets(), Buckets(), Buckets()
        self.exemplars: dict[
            int, tuple[str, float, float]
        ] = {}  # by place in `seconds`: a trace, its seconds, and when
        self.scores: list[int] | None = []  # in equal buckets from 0 to 1; None once one was no probability

    def request(self, code: int, seconds: float, queued: float) -> None:
        """A request got its answer, or none (`code` 0)."""
        self.requests += 1
        if code >= 500 or code == 0:
            self.errors += 1
        text = str(code)
        self.codes[text] = self.codes.get(text, 0) + 1
        self.seconds.add(seconds)
        if queued:
            self.queue.add(queued)

    def exemplar(self, seconds: float, trace_id: str) -> None:
        """A request that can be looked up as a trace. The last one of each bucket is kept."""
        self.exemplars[bisect_left(BOUNDS, seconds)] = (trace_id, seconds, time.time())

    def scored(self, scores: Iterable[float]) -> None:
        """Scores of a model, for as long as all of them can be probabilities."""
        for score in scores:
            if self.scores is None:
                return
            if not 0 <= score <= 1:
                self.scores = None
                return
            if not self.scores:
                self.scores = [0] * SCORES
            self.scores[min(SCORES - 1, int(score * SCORES))] += 1

    def answered(self, answer: Json, seconds: float) -> None:
        """A language model's answer."""
        tokens, ttft = answer.get("completion_tokens") or 0, answer.get("ttft_seconds")
        self.tokens += tokens
        self.prompt_tokens += answer.get("prompt_tokens") or 0
        decoding = seconds if ttft is None else max(0.0, seconds - ttft)
        self.decoding_seconds += decoding
        if ttft is not None:
            self.ttft.add(ttft)
            if tokens > 1:
                self.tpot.add(decoding / (tokens - 1))

    def ended(self, empty: bool, cut: bool) -> None:
        """A text came to its end."""
        self.answers += 1
        self.empty += empty
        self.cut += cut

    def to_json(self) -> Json:
        """As it is stored."""
        return {
            "requests": self.requests, "errors": self.errors, "codes": dict(self.codes), "seconds": self.seconds.to_json(),
            "queue": self.queue.to_json(), "predictions": self.predictions, "missing": dict(self.missing),
            "scores": [] if self.scores is None else list(self.scores), "ttft": self.ttft.to_json(), "tpot": self.tpot.to_json(),
            "tokens": self.tokens, "prompt_tokens": self.prompt_tokens, "decoding_seconds": self.decoding_seconds,
            "answers": self.answers, "empty": self.empty, "cut": self.cut,
            "cache": {"hit": self.hits, "miss": self.misses},
        }  # fmt: skip


class Tally:
    """All that one process counts."""

    def __init__(self) -> None:
        # by name, and by the version of the adapter that answered: empty for that of the server itself
        self.variants: dict[tuple[str, str], Variant] = {}
        self.shadows: dict[str, Variant] = {}  # by version: requests whose answers reach nobody
        self.dropped = 0  # rows of the prediction log
        self.spans_sent = self.spans_dropped = 0
        self.rejected = 0  # requests that found no room
        self.unauthorized = 0
        self.cache_errors = 0
        self.defaulted = 0  # rows predicted from defaults, since the feature store was away
        self.running = 0
        self.waiting = 0
        self.batches = Buckets(ROWS)

    def variant(self, name: str, shadow: bool, version: str = "") -> Variant:
        """Where a request is counted. `version` is that of the adapter that answers it, if one does."""
        if shadow:
            room = version in self.shadows or len(self.shadows) < MOST_VARIANTS
            return self.shadows.setdefault(version if room else "", Variant())
        found = self.variants.get((name, version))
        if found is None:
            if len(self.variants) >= MOST_VARIANTS:
                name, version = name if name in (STABLE, CANDIDATE) else OTHER, ""
            found = self.variants.setdefault((name, version), Variant())
        return found

    def to_json(self) -> Json:
        """As it is stored: variants with all their versions, and where adapters answer each version by itself too."""
        named: dict[str, Json] = {}
        for (name, version), variant in list(self.variants.items()):
            named.setdefault(name, {})[version] = variant.to_json()
        shadows = {version: variant.to_json() for version, variant in list(self.shadows.items())}
        several = any(version for parts in (*named.values(), shadows) for version in parts)
        return {
            "variants": {name: reduce(added, parts.values()) for name, parts in named.items()},
            "shadow": reduce(added, shadows.values()) if shadows else Variant().to_json(),
            **({"versions": {"variants": named, "shadow": shadows}} if several else {}),
            "server": {
                "dropped": self.dropped, "rejected": self.rejected, "unauthorized": self.unauthorized, "cache_errors": self.cache_errors,
                "defaulted": self.defaulted, "spans_sent": self.spans_sent, "spans_dropped": self.spans_dropped,
                "batches": self.batches.to_json(),
            },
            "now": {"running": self.running, "waiting": self.waiting},
        }  # fmt: skip


def by_versions(parts: Sequence[Json]) -> Sequence[Json]:
    """The counts of several processes, told by version in all of them where they are in one: what a process counted that met no
    adapter, or that knows nothing of versions, is the server's own, and would be missing from the sum of them."""
    if not any("versions" in part for part in parts):
        return parts
    return [part if "versions" in part else {**part, "versions": _own_version(part)} for part in parts]


def _own_version(part: Json) -> Json:
    shadow = part.get("shadow", {})
    return {
        "variants": {name: {"": values} for name, values in part.get("variants", {}).items()},
        "shadow": {"": shadow} if shadow.get("requests") else {},
    }


def added(one: Any, two: Any) -> Any:
    """Two stored trees as one: numbers are added, lists item by item, and what only one has is taken as it is."""
    if isinstance(one, dict) and isinstance(two, dict):
        names = [*one, *(name for name in two if name not in one)]
        return {
            name: added(one[name], two[name]) if name in one and name in two else one.get(name, two.get(name))
            for name in names
        }
    if isinstance(one, list) and isinstance(two, list):
        if len(one) != len(two):
            return one or two
        return [left + right for left, right in zip(one, two, strict=True)]
    return one + two if isinstance(one, int | float) and isinstance(two, int | float) else one
