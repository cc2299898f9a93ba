"""What was measured of each variant: counts, and times in buckets narrow enough for quantiles."""

from __future__ import annotations

from bisect import bisect_left
from dataclasses import dataclass, field

# Upper bounds in seconds, each 10 % above the one before, from 0.1 ms to 16 minutes: a quantile is right to 5 %.
# The middleware in the model servers (mlctl/runtime/middleware) counts into the same ones.
BOUNDS = tuple(1e-4 * 1.1**number for number in range(170))

# What a gate may be about. A rate is a share of the requests, times are in seconds.
METRICS = {
    "error_rate": "answers of 5xx and requests without an answer, as a share of all",
    "empty_rate": "answers of a language model without a word, as a share of those that came to their end",
    "length_rate": "answers of a language model that were cut off at their length, as a share of those that came to their end",
    "mean_seconds": "mean time from a request's arrival to the end of its answer",
    "p50_seconds": "median of that time",
    "p95_seconds": "95th percentile of that time",
    "p99_seconds": "99th percentile of that time",
    "ttft_p50_seconds": "median time to the first token",
    "ttft_p95_seconds": "95th percentile of the time to the first token",
    "tokens_per_second": "output tokens a second of a request's decoding",
    "mismatch_rate": "answers of a shadow that differ from the stable version's, as a share of those compared",
    "score_shift": "how far the distribution of scores is from the baseline's (Kolmogorov-Smirnov distance)",
}


@dataclass(frozen=True, slots=True)
class Histogram:
    """How many values fell into each bucket of BOUNDS, with one more for those above; and their sum."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS) + 1)
    total: float = 0.0

    @property
    def number(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    @property
    def mean(self) -> float | None:
        """Their mean, if there are any."""
        return self.total / self.number if self.number else None

    def quantile(self, share: float) -> float | None:
        """The upper bound of the bucket that the quantile falls into; infinite above the last, None without values."""
        if not self.number:
            return None
        wanted, seen = share * self.number, 0
        for bound, count in zip((*BOUNDS, float("inf")), self.counts, strict=True):
            seen += count
            if seen >= wanted and count:
                return bound
        return float("inf")

    def above(self, seconds: float) -> int:
        """How many values are larger, to the width of a bucket."""
        return sum(self.counts[bisect_left(BOUNDS, seconds) + 1 :])

    def minus(self, earlier: Histogram) -> Histogram:
        """What was counted since. A process that began anew counts from nothing: then all of it is new."""
        if any(now < then for now, then in zip(self.counts, earlier.counts, strict=True)):
            return self
        counts = tuple(now - then for now, then in zip(self.counts, earlier.counts, strict=True))
        return Histogram(counts, self.total - earlier.total)

    def plus(self, other: Histogram) -> Histogram:
        """Both together."""
        counts = tuple(one + two for one, two in zip(self.counts, other.counts, strict=True))
        return Histogram(counts, self.total + other.total)


@dataclass(frozen=True, slots=True)
class Counts:
    """Of one variant, from some moment on."""

    requests: int = 0
    errors: int = 0
    seconds: Histogram = field(default_factory=Histogram)
    ttft: Histogram = field(default_factory=Histogram)
    tokens: int = 0
    decoding_seconds: float = 0.0
    compared: int = 0  # answers of a shadow beside the stable version's
    mismatches: int = 0
    scores: tuple[int, ...] = ()  # in 100 equal buckets from 0 to 1, of models whose scores are probabilities
    answers: int = 0  # texts of a language model that came to their end
    empty: int = 0  # those without a word
    cut: int = 0  # those that were cut off at their length

    def minus(self, earlier: Counts) -> Counts:
        """What was counted since."""
        return Counts(
            _since(self.requests, earlier.requests),
            _since(self.errors, earlier.errors),
            self.seconds.minus(earlier.seconds),
            self.ttft.minus(earlier.ttft),
            _since(self.tokens, earlier.tokens),
            max(0.0, self.decoding_seconds - earlier.decoding_seconds),
            _since(self.compared, earlier.compared),
            _since(self.mismatches, earlier.mismatches),
            tuple(_since(now, then) for now, then in zip(self.scores, earlier.scores, strict=True))
            if len(self.scores) == len(earlier.scores)
            else self.scores,
            _since(self.answers, earlier.answers),
            _since(self.empty, earlier.empty),
            _since(self.cut, earlier.cut),
        )


def _since(now: int, then: int) -> int:
    return now - then if now >= then else now
