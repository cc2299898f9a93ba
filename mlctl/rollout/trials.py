"""How each kind of metric is put on trial: rates, quantiles of times, means and speeds, and distributions of scores."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections.abc import Mapping
from typing import Any

from mlctl.rollout.bounds import OF_ANSWERS, RATES, SHIFTS, TAILS
from mlctl.rollout.evidence import BOUNDS, Counts, Histogram
from mlctl.rollout.trial import Reading, Sides, Trial, percent, seconds
from mlctl.stats.contrast import (
    Bound,
    Line,
    Sample,
    at_most,
    beyond,
    excess,
    gap_radius,
    information,
    largest_gap,
    mean_above_zero,
)  # fmt: skip
from mlctl.stats.sequential import Sequential, spent
from mlctl.types.jobs.rollout import GateRule

_FEW = 4.0  # errors: without a single one, `min_requests` exclude a rate of so many in them (the "rule of three", looked at often)
_MOST = 0.5
_SLOWER = 1.1  # beyond the bound: a mean that is a tenth above it is excluded by a pass
_TAIL_HARM = 0.1
_HAIR = 1e-9  # for powers of floating point that should be equal
_TO_A_BUCKET = ", to the 10 % that times are known to"
_LEAST_ABOVE = 5  # requests of the baseline above its quantile, before it is one
_BLOCKS = 20  # of requests in `min_requests`, where means are taken of blocks
_LEAST_BLOCKS = 4
_LEAST_SECONDS = 1e-9  # of a block: less is no time that anybody measured
_NO_TEXT = "no text of a language model came to its end yet"
_UNCOUNTED = (  # tokens were counted, which servers did before they counted texts
    "tokens came and no text was counted: its server was started by an earlier mlctl, which counts none, or clients leave before the end"
)
_NOTHING = {"mismatch_rate": "no answer was compared yet", **dict.fromkeys(OF_ANSWERS, _NO_TEXT)}
_NO_BASELINE = (
    "no version answers beside the candidate, so there is nothing to compare with; a hard limit can be judged"
)


def trials(rule: GateRule) -> list[Trial]:
    """The bounds of a gate. They share its alpha, so that all of them together blame a good version no more often than that."""
    bounds = [
        (metric.name, kind, value)
        for metric in rule.metrics
        for kind in ("margin", "max_ratio", "max", "min")
        if (value := getattr(metric, kind)) is not None
    ]
    alpha = rule.alpha / len(bounds)
    return [
        _class(name)(name, kind, value, alpha=alpha, min_requests=rule.min_requests) for name, kind, value in bounds
    ]


def _class(metric: str) -> type[Trial]:
    if metric in RATES:
        return RateTrial
    if metric in TAILS:
        return QuantileTrial
    return ShiftTrial if metric in SHIFTS else MeanTrial


class RateTrial(Trial):
    """Errors, mismatches, answers without a word or cut off, as a share."""

    @property
    def _floor(self) -> float:
        return min(_FEW / self.min_requests, _MOST)

    def read(self, sides: Sides) -> Reading | str:
        """Both sides' rates. A pass excludes twice the baseline's rate or the limit, or what `min_requests` are too few for."""
        candidate = self._sample(sides.candidate)
        if not candidate.number:
            uncounted = self.metric in OF_ANSWERS and sides.candidate.tokens
            return _UNCOUNTED if uncounted else _NOTHING.get(self.metric, "no request came yet")
        if self.kind == "max":
            harm_rate = min(self.value + max(self.value, self._floor), 0.999)
            return Reading(
                candidate.rate,
                None,
                f"the limit of {percent(self.value)}",
                f"{percent(harm_rate)} or more",
                candidate.rate <= self.value,
                excess(candidate, None, at_most(self.value)),
                -excess(candidate, None, at_most(harm_rate)),
                candidate.number,
                candidate.number,
            )
        if sides.baseline is None:
            return _NO_BASELINE
        baseline = self._sample(sides.baseline)
        if not baseline.number:
            if self.metric not in OF_ANSWERS:
                return "the baseline got no request yet"
            return f"of the baseline {_UNCOUNTED}" if sides.baseline.tokens else "the baseline gave no text yet"
        harm: Bound = (Line(1.0, max(self.value, self._floor)), Line(2.0, 0.0))
        return Reading(
            candidate.rate,
            baseline.rate,
            f"the margin of {100 * self.value:.3g} points",
            f"{percent(beyond(harm, baseline.rate))} or more",
            candidate.rate - baseline.rate <= self.value,
            excess(candidate, baseline, (Line(1.0, self.value),)),
            -excess(candidate, baseline, harm),
            information(candidate.number, baseline.number),
            min(candidate.number, baseline.number),
        )

    def _sample(self, counts: Counts) -> Sample:
        if self.metric == "mismatch_rate":
            return Sample(counts.compared, min(counts.mismatches, counts.compared))
        if self.metric in OF_ANSWERS:
            found = counts.empty if self.metric == "empty_rate" else counts.cut
            return Sample(counts.answers, min(found, counts.answers))
        return Sample(counts.requests, min(counts.errors, counts.requests))

    def shown(self, value: float) -> str:
        """In percent."""
        return percent(value)


class QuantileTrial(Trial):
    """A quantile of times: the share of the candidate's requests beyond a time, against that of the baseline's.

    With a ratio, it is the share above ratio times the baseline's quantile against the baseline's own share above its
    quantile; with a hard limit, the share above that against what may be there. Times are known to their bucket only: to
    blame, the candidate is given the benefit of the width of one, and to pass it is not.
    """

    def read(self, sides: Sides) -> Reading | str:
        """Both sides' quantiles, and how surely they lie apart. A pass excludes twice as many requests beyond the bound."""
        candidate, tail = self._times(sides.candidate), TAILS[self.metric]
        if not candidate.number:
            streams = (
                ": only streamed answers that are not empty have a first token"
                if self.metric.startswith("ttft")
                else ""
            )
            return f"no time was measured yet{streams}"
        if self.kind == "max":
            return self._against_limit(candidate, tail)
        if sides.baseline is None:
            return _NO_BASELINE
        baseline = self._times(sides.baseline)
        if baseline.number * tail < _LEAST_ABOVE:
            needed = f"{_LEAST_ABOVE / tail:,.0f} times of the baseline that its quantile needs"
            return f"{baseline.number:,} of the {needed}"
        return self._against_baseline(candidate, baseline, tail)

    def _against_limit(self, candidate: Histogram, tail: float) -> Reading:
        place = bisect_left(BOUNDS, self.value * (1 - _HAIR))  # the first bound that is not below the limit
        exact = place < len(BOUNDS) and BOUNDS[place] <= self.value * (1 + _HAIR)
        blamed, safe = _above(candidate, place), _above(candidate, place if exact else place - 1)
        harm = tail + min(tail, _TAIL_HARM)
        return Reading(
            _quantile(candidate, 1 - tail),
            None,
            f"the limit of {seconds(self.value)}{'' if exact else _TO_A_BUCKET}",
            f"{percent(harm)} of the requests beyond it",
            blamed.rate <= tail,
            excess(blamed, None, at_most(tail)),
            -excess(safe, None, at_most(harm)),
            candidate.number,
            candidate.number,
        )

    def _against_baseline(self, candidate: Histogram, baseline: Histogram, tail: float) -> Reading | str:
        base = baseline.quantile(1 - tail)
        if base is None or math.isinf(base):
            return "the baseline's times are above all that are told apart"
        place = bisect_left(BOUNDS, base)
        steps = math.log(self.value) / math.log(BOUNDS[1] / BOUNDS[0])
        slow = _above(baseline, place)
        up, down = math.ceil(steps - _HAIR), math.floor(steps + _HAIR)
        blamed, safe = _above(candidate, place + up), _above(candidate, place + down)
        more = min(tail, _TAIL_HARM)
        shown = _quantile(baseline, 1 - tail)
        return Reading(
            _quantile(candidate, 1 - tail),
            shown,
            f"{self.value:g} times that{'' if up == down else _TO_A_BUCKET}",
            f"{percent(tail + more)} of the requests beyond it",
            blamed.rate <= tail,
            excess(blamed, slow, (Line(1.0, 0.0),)),
            -excess(safe, slow, (Line(1.0, more),)),
            information(candidate.number, baseline.number),
            min(candidate.number, baseline.number),
        )

    def _times(self, counts: Counts) -> Histogram:
        return counts.ttft if self.metric.startswith("ttft") else counts.seconds

    def shown(self, value: float) -> str:
        """In milliseconds or seconds."""
        return seconds(value)


def _quantile(histogram: Histogram, share: float) -> float:
    """A quantile, to be shown: inside its bucket by where it lies among those in it."""
    wanted, seen = share * histogram.number, 0
    for place, count in enumerate(histogram.counts):
        if count and seen + count >= wanted:
            low = BOUNDS[place - 1] if place else 0.0
            return math.inf if place == len(BOUNDS) else low + (BOUNDS[place] - low) * (wanted - seen) / count
        seen += count
    return math.inf


def _above(histogram: Histogram, place: int) -> Sample:
    """The values above the bound at a place; there are none known to be above the last one's bucket."""
    return Sample(histogram.number, sum(histogram.counts[max(place, -1) + 1 :]))


class MeanTrial(Trial):
    """A mean time, or the speed of decoding, by blocks of requests: both sides of the same moments are set against each other.

    Times come in waves, and requests of one moment are alike, so a mean's error cannot be told from single requests. Each
    look makes one block, and Student's t is taken over blocks; what both sides have in common goes out.
    """

    def __init__(self, metric: str, kind: str, value: float, *, alpha: float, min_requests: int) -> None:
        super().__init__(metric, kind, value, alpha=alpha, min_requests=min_requests)
        self._last = [0.0] * 4  # what was counted by the end of the last block: number and sum, of both sides
        self._bad, self._harm = Moments(), Moments()

    def read(self, sides: Sides) -> Reading | str:
        """The means since the beginning, and the blocks so far."""
        relative = self.kind == "max_ratio"
        if relative and sides.baseline is None:
            return _NO_BASELINE
        candidate = self._sums(sides.candidate)
        baseline = self._sums(sides.baseline) if relative and sides.baseline is not None else (0.0, 0.0)
        if not candidate[0] or (relative and not baseline[0]):
            return "nothing was measured yet"
        if not all(math.isfinite(part) and part >= 0 for part in (*candidate, *baseline)) or not candidate[1]:
            return "what was measured is not a number"
        self._block([*candidate, *baseline], relative)
        if self._bad.number < _LEAST_BLOCKS:
            return f"{self._bad.number} of the {_LEAST_BLOCKS} looks with enough new requests that a mean needs"
        value = self._mean(*candidate)
        base = self._mean(*baseline) if relative else None
        limit = self.value if base is None else base / self.value if self._is_speed else base * self.value
        harm = limit / _SLOWER if self._is_speed else limit * _SLOWER
        number = self._requests(sides.candidate)
        if relative and sides.baseline is not None:
            number = min(number, self._requests(sides.baseline))
        return Reading(
            value,
            base,
            f"{self.value:g} times that" if relative else f"the limit of {self.shown(self.value)}",
            f"{self.shown(harm)} or {'fewer' if self._is_speed else 'more'}",
            value >= limit if self._is_speed else value <= limit,
            self._bad.above_zero(),
            -self._harm.above_zero(),
            float(self._bad.number),
            number,
        )

    def _block(self, now: list[float], relative: bool) -> None:
        """Make a block of what is new, once it is enough on each side."""
        new = [here - before for here, before in zip(now, self._last, strict=True)]
        if any(part < 0 for part in new):  # somebody counts from nothing again
            self._last = now
            return
        least = max(10.0, self.min_requests / _BLOCKS)
        least *= 10.0 if self._is_speed else 1.0  # tokens, not requests
        if new[0] < least or new[1] < _LEAST_SECONDS or (relative and (new[2] < least or new[3] < _LEAST_SECONDS)):
            return
        self._last = now
        for moments, factor in ((self._bad, 1.0), (self._harm, _SLOWER)):
            moments.add(self._beyond(new, self.value * factor if self.kind != "min" else self.value / factor))

    def _beyond(self, new: list[float], bound: float) -> float:
        """How far one block is beyond a bound: above zero is worse. A difference, so that its mean is that of all requests."""
        mine = self._mean(new[0], new[1])
        if self.kind == "max":
            return mine - bound
        if self.kind == "min":
            return math.log(bound / mine)
        theirs = self._mean(new[2], new[3])
        return math.log(theirs / bound / mine) if self._is_speed else mine - bound * theirs

    @property
    def _is_speed(self) -> bool:
        return self.metric != "mean_seconds"

    def _sums(self, counts: Counts) -> tuple[float, float]:
        if self._is_speed:
            return float(counts.tokens), counts.decoding_seconds
        return float(counts.seconds.number), counts.seconds.total

    def _requests(self, counts: Counts) -> int:
        """On how many requests it rests."""
        return (counts.ttft.number or counts.requests) if self._is_speed else counts.seconds.number

    def _mean(self, number: float, total: float) -> float:
        return number / total if self._is_speed else total / number

    def memory(self) -> dict[str, Any]:
        """With the blocks so far."""
        return {**super().memory(), "last": self._last, "bad": self._bad.to_list(), "harm": self._harm.to_list()}

    def remember(self, memory: Mapping[str, Any]) -> None:
        """Go on from there."""
        super().remember(memory)
        self._last = [float(part) for part in memory["last"]]
        self._bad, self._harm = Moments(*memory["bad"]), Moments(*memory["harm"])

    def shown(self, value: float) -> str:
        """Seconds, or tokens a second."""
        return f"{value:.3g} tokens/s" if self._is_speed else seconds(value)


class Moments:
    """Number, mean and squared deviations of values that come one by one (Welford 1962)."""

    def __init__(self, number: int = 0, mean: float = 0.0, squares: float = 0.0) -> None:
        self.number, self.mean, self.squares = int(number), float(mean), float(squares)

    def add(self, value: float) -> None:
        """One more."""
        self.number += 1
        away = value - self.mean
        self.mean += away / self.number
        self.squares += away * (value - self.mean)

    def above_zero(self) -> float:
        """How surely their mean is above zero, as a z."""
        return mean_above_zero(self.number, self.mean, self.squares)

    def to_list(self) -> list[float]:
        """As JSON."""
        return [self.number, self.mean, self.squares]


class ShiftTrial(Trial):
    """The Kolmogorov-Smirnov distance of the scores of both sides, with a band around it that holds at all looks at once."""

    def read(self, sides: Sides) -> Reading | str:
        """The distance now. The band takes the place of a standard error, so z is not one: it only says on which side it is."""
        if sides.baseline is None:
            return _NO_BASELINE
        mine, theirs = sides.candidate.scores, sides.baseline.scores
        if not sum(mine) or not sum(theirs) or len(mine) != len(theirs):
            return "there are no scores between 0 and 1 of both sides yet"
        one, other = sum(mine), sum(theirs)
        distance, size = largest_gap(theirs, mine), information(one, other)
        number = min(one, other)
        return Reading(
            distance,
            None,
            f"the limit of {self.value:.2g}",
            f"a distance of {2 * self.value:.2g}",
            distance <= self.value,
            self._beyond(distance - self.value, size, number, self.worse),
            self._beyond(2 * self.value - distance, size, number, self.safe),
            size,
            number,
        )

    def chance(self) -> str:
        """As much of alpha as was given out by then."""
        return f"p < {self.worse.looks[-1].spent:.2g}"

    def _beyond(self, distance: float, size: float, number: int, test: Sequential) -> float:
        """Infinite when a distance is larger than the band that may be left out of account at this look."""
        before = test.looks[-1].spent if test.looks else 0.0
        allowed = spent(test.alpha, number, test.half) - before
        return math.inf if allowed > 0 and distance > gap_radius(size, allowed) else 0.0

    def shown(self, value: float) -> str:
        """A distance, from 0 to 1."""
        return f"{value:.2g}"
