"""What strategies say about shares: of the steps of a candidate, of arms, and of those whose server is away."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from itertools import accumulate
from math import ceil, floor

from mlctl.rollout.routes import TOTAL
from mlctl.types.jobs.rollout import GateRule, Step


def share_of(percent: float) -> int:
    """Percent as a share of TOTAL."""
    return round(percent * TOTAL / 100)


def weight_at(steps: Sequence[Step], number: int) -> float:
    """Percent of the requests that the candidate answers in a step: what this one sets, or the last one before it that does."""
    return next((step.weight for step in reversed(steps[: number + 1]) if step.weight is not None), 0.0)


def mirror_at(steps: Sequence[Step], number: int) -> float:
    """Percent of the requests that the candidate is sent copies of, found in the same way."""
    return next((step.mirror for step in reversed(steps[: number + 1]) if step.mirror is not None), 0.0)


def same_so_far(
    old: tuple[Sequence[Step], Mapping[str, GateRule]], new: tuple[Sequence[Step], Mapping[str, GateRule]], number: int
) -> bool:
    """Whether two lists of steps, each with its gates, agree up to and including a step."""
    (was, rules), (wanted, others) = old, new
    begun = was[: number + 1]
    used = {step.gate for step in begun if step.gate is not None}
    return (
        len(begun) == number + 1
        and begun == wanted[: number + 1]
        and all(rules.get(name) == others.get(name) for name in used)
    )


def by_weights(weights: Mapping[str, float]) -> dict[str, int]:
    """Shares by relative weights, so that a bucket of `mlctl.stats.assignment` falls into the same arm as there, to the unit."""
    total = sum(weights.values())
    borders = [_border(until / total) for until in accumulate(weights.values())]
    borders[-1:] = [TOTAL]
    return {name: end - start for name, start, end in zip(weights, [0, *borders], borders, strict=False)}


def by_probabilities(shares: Mapping[str, float]) -> dict[str, int]:
    """Shares next to real numbers that sum up to about 1: rounded down, and what is left to the largest remainders."""
    total = sum(shares.values())
    exact = {name: value / total * TOTAL for name, value in shares.items()}
    whole = {name: floor(value) for name, value in exact.items()}
    missing = TOTAL - sum(whole.values())
    for name in sorted(exact, key=lambda name: whole[name] - exact[name])[:missing]:
        whole[name] += 1
    return whole


def without(shares: Mapping[str, int], away: Collection[str]) -> dict[str, int]:
    """Shares when some cannot answer: the one before takes theirs, or the first one after, so that units of the others stay.

    When all are away nothing changes.
    """
    names = list(shares)
    there = [name for name in names if name not in away and shares[name]] or [
        name for name in names if name not in away
    ]
    if not there:
        return dict(shares)
    result = dict.fromkeys(names, 0)
    for place, name in enumerate(names):
        before = [other for other in names[: place + 1] if other in there]
        result[before[-1] if before else there[0]] += shares[name]
    return result


def _border(end: float) -> int:
    """How many buckets lie below `end`. A bucket is a number of ten-thousandths, compared as `assignment.choose` does."""
    near = ceil(end * TOTAL)
    while near > 0 and (near - 1) / TOTAL >= end:
        near -= 1
    while near < TOTAL and near / TOTAL < end:
        near += 1
    return near
