"""Why a cost changed: by how many requests, which models, how many tokens, and which prices. The parts add up exactly.

Each part is the Shapley value of its factor: what changing it adds, averaged over all orders in which the factors can be
changed one after the other (Shorrocks 2013). No order is favoured, no rest is left over, and fractions keep it exact.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import combinations
from math import factorial

FACTORS = ("volume", "mix", "tokens", "price")
_NOTHING = Fraction(0)


@dataclass
class ModelUse:
    """The use of one model: requests, and for each kind of token how many there were and what they cost."""

    requests: int = 0
    tokens: dict[str, int] = field(default_factory=dict)
    cost: dict[str, Fraction] = field(default_factory=dict)

    def add(self, tokens: Mapping[str, int], cost: Mapping[str, Fraction]) -> None:
        """One more request."""
        self.requests += 1
        for kind, count in tokens.items():
            self.tokens[kind] = self.tokens.get(kind, 0) + count
            self.cost[kind] = self.cost.get(kind, _NOTHING) + cost.get(kind, _NOTHING)


def total(use: Mapping[str, ModelUse]) -> Fraction:
    """What all of it cost."""
    return sum((amount for one in use.values() for amount in one.cost.values()), _NOTHING)


def decompose(
    before: Mapping[str, ModelUse], now: Mapping[str, ModelUse], days_before: Fraction, days_now: Fraction
) -> dict[str, Fraction]:
    """The change of the cost of a day, by factor: the four sum to it exactly.

    A model, or a kind of token, that one side does not have takes its tokens and its price from the other side: that it
    came or went is a matter of the mix.
    """
    sides = (_Side(before, days_before), _Side(now, days_now))
    models = sorted({*before, *now})
    kinds = sorted({kind for use in (before, now) for one in use.values() for kind in one.tokens})
    worth = {
        chosen: _cost(sides, models, kinds, chosen)
        for size in range(len(FACTORS) + 1)
        for chosen in combinations(FACTORS, size)
    }
    return {factor: _shapley(worth, factor) for factor in FACTORS}


def shown(terms: Mapping[str, Fraction], places: int) -> dict[str, float]:
    """The terms with so many decimals, such that what is shown adds up to the sum as shown: the largest rests are rounded up."""
    unit = Fraction(1, 10**places)
    wanted = round(sum(terms.values(), _NOTHING) / unit)
    floors = {name: value // unit for name, value in terms.items()}
    short = wanted - sum(floors.values())
    rests = sorted(terms, key=lambda name: (floors[name] - terms[name] / unit, name))
    step, few = (1, rests[:short]) if short >= 0 else (-1, rests[short:])
    return {name: float((floors[name] + (step if name in few else 0)) * unit) for name in terms}


class _Side:
    """One time span as its four factors."""

    def __init__(self, use: Mapping[str, ModelUse], days: Fraction) -> None:
        self._use = use
        self._requests = sum(one.requests for one in use.values())
        self.volume = Fraction(self._requests) / days

    def share(self, model: str) -> Fraction:
        """Of the requests, those of a model."""
        one = self._use.get(model)
        return _NOTHING if one is None or not self._requests else Fraction(one.requests, self._requests)

    def tokens(self, model: str, kind: str) -> Fraction | None:
        """Of one request; None where the model was not asked."""
        one = self._use.get(model)
        return None if one is None or not one.requests else Fraction(one.tokens.get(kind, 0), one.requests)

    def price(self, model: str, kind: str) -> Fraction | None:
        """Of one token; None where there was none."""
        one = self._use.get(model)
        count = 0 if one is None else one.tokens.get(kind, 0)
        return None if one is None or not count else one.cost.get(kind, _NOTHING) / count


def _cost(
    sides: tuple[_Side, _Side], models: Sequence[str], kinds: Sequence[str], changed: tuple[str, ...]
) -> Fraction:
    """The cost of a day when only the factors in `changed` are those of now."""
    place = {factor: int(factor in changed) for factor in FACTORS}
    spent = _NOTHING
    for model in models:
        for kind in kinds:
            tokens, other = (side.tokens(model, kind) for side in (sides[place["tokens"]], sides[1 - place["tokens"]]))
            price, instead = (side.price(model, kind) for side in (sides[place["price"]], sides[1 - place["price"]]))
            many = other if tokens is None else tokens
            each = instead if price is None else price
            spent += sides[place["mix"]].share(model) * (many or _NOTHING) * (each or _NOTHING)
    return sides[place["volume"]].volume * spent


def _shapley(worth: Mapping[tuple[str, ...], Fraction], factor: str) -> Fraction:
    others = [name for name in FACTORS if name != factor]
    found = _NOTHING
    for size in range(len(others) + 1):
        weight = Fraction(factorial(size) * factorial(len(others) - size), factorial(len(FACTORS)))
        for chosen in combinations(others, size):
            joined = tuple(name for name in FACTORS if name in (*chosen, factor))
            found += weight * (worth[joined] - worth[chosen])
    return found
