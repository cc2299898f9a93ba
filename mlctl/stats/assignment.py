"""Which arm a unit belongs to: a pure function of the unit, a salt and the arms, the same in every process and language.

It is the hash of the GrowthBook SDKs (version 2), so that a front end with one of those, given the same ranges, agrees to
the unit. Arms are never drawn by version 1: two 50/50 experiments that use it are not independent of each other. It is here
for namespaces alone, which the SDKs hash by it: slices of all units that experiments divide among them.
Source: https://docs.growthbook.io/lib/build-your-own (hash, getBucketRanges, chooseVariation).
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate

BUCKETS = 10_000
_OFFSET, _PRIME = 0x811C9DC5, 0x01000193


@dataclass(frozen=True, slots=True)
class Arm:
    """One arm and the half-open range of bucket values that belong to it."""

    name: str
    start: float
    end: float


def fnv1a(text: str) -> int:
    """FNV-1a, 32 bits, over UTF-16 code units: that is what `charCodeAt` gives in a browser, and bytes of UTF-8 would not.

    Each code unit is taken in whole, as the SDKs do, not byte by byte.
    """
    value = _OFFSET
    data = text.encode("utf-16-le", "surrogatepass")
    for low, high in zip(data[::2], data[1::2], strict=True):
        value = ((value ^ (low | high << 8)) * _PRIME) & 0xFFFFFFFF
    return value


def bucket(unit: str, salt: str) -> float:
    """The place of a unit in an experiment: one of 10,000 values from 0 to 0.9999."""
    return fnv1a(str(fnv1a(salt + unit))) % BUCKETS / BUCKETS


def namespace_bucket(unit: str, namespace: str) -> float:
    """The place of a unit in a namespace: one of 1,000 values from 0 to 0.999, by version 1 of the hash, as in the SDKs."""
    return bucket_v1(unit, f"__{namespace}")


def bucket_v1(unit: str, salt: str) -> float:
    """Version 1 of the hash."""
    return fnv1a(unit + salt) % 1000 / 1000


def in_range(value: float, start: float, end: float) -> bool:
    """Whether a bucket value lies in a half-open range."""
    return start <= value < end


def holdout_salt(project: str) -> str:
    """What the units that see no experiment of a project are drawn by; the same for all its experiments."""
    return f"{project}.holdout"


def ranges(weights: Mapping[str, float], coverage: float = 1.0) -> tuple[Arm, ...]:
    """The arms' ranges, in the order given. Weights are relative; an arm takes the first `coverage` of its share.

    More coverage only adds units, it moves none: each range grows at its end. With two arms a change of weights moves
    only units between the old and the new border, in one direction.
    """
    sums = list(accumulate(weights.values()))
    arms, start = [], 0.0
    for name, until in zip(weights, sums, strict=True):
        end = until / sums[-1]
        arms.append(Arm(name, start, end if coverage == 1 else start + coverage * (end - start)))
        start = end
    return tuple(arms)


def choose(value: float, arms: Sequence[Arm]) -> str | None:
    """The arm whose range holds a bucket value; None when it lies outside all of them."""
    return next((arm.name for arm in arms if arm.start <= value < arm.end), None)


def assign(unit: str, salt: str, arms: Mapping[str, float], coverage: float = 1.0) -> str | None:
    """The arm of a unit, or None when the unit does not take part."""
    return choose(bucket(unit, salt), ranges(arms, coverage))


def unit_hash(text: str) -> str:
    """What stands for a unit's id in logs: the same for the same id, and it does not tell the id. 64 bits of BLAKE2b."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
