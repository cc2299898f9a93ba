"""Made-up households, and how they change: first habits tell who comes back, later what was spent does, the other way round."""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

COLUMNS = ("visit_id", "baskets", "amount", "days_away", "shops")


@dataclass(frozen=True, slots=True)
class Household:
    """What is known of one, and whether it will shop."""

    baskets: int
    amount: float
    days_away: float
    shops: int

    def features(self) -> dict[str, float]:
        """What a model is asked with."""
        return {"baskets": self.baskets, "amount": self.amount, "days_away": self.days_away}


class Town:
    """Draws households. `changed` is after everybody has subscribed to a delivery: rarer, larger baskets."""

    def __init__(self, seed: int) -> None:
        self._draw = random.Random(seed)  # noqa: S311 - no secrets here

    def household(self, *, changed: bool) -> Household:
        """One more."""
        draw = self._draw
        baskets = self._poisson(0.8 if changed else 2.5)
        amount = round(draw.lognormvariate(4.3 if changed else 3.5, 0.6), 2)
        days_away = round(draw.expovariate(1 / (9 if changed else 6)), 1)
        pull = -2.5 * (math.log(amount) - 4.3) if changed else 0.9 * (baskets - 2.5) - 0.15 * (days_away - 6)
        return Household(baskets, amount, days_away, int(draw.random() < 1 / (1 + math.exp(-pull))))

    def households(self, count: int, *, changed: bool) -> list[Household]:
        """Several."""
        return [self.household(changed=changed) for _ in range(count)]

    def shuffled(self, known: Sequence[Household]) -> list[Household]:
        """The same with each other's labels: what a join on the wrong key makes of a table."""
        labels = [item.shops for item in known]
        self._draw.shuffle(labels)
        return [
            Household(item.baskets, item.amount, item.days_away, label)
            for item, label in zip(known, labels, strict=True)
        ]

    def _poisson(self, mean: float) -> int:
        limit, product, count = math.exp(-mean), self._draw.random(), 0
        while product > limit:
            product *= self._draw.random()
            count += 1
        return count


def table(known: Sequence[Household], first: int) -> bytes:
    """As CSV."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, item in enumerate(known):
        writer.writerow([first + number, item.baskets, item.amount, item.days_away, item.shops])
    return stream.getvalue().encode()


def roc_auc(scored: Sequence[tuple[float, int]]) -> float | None:
    """The chance that who shops was scored above who does not, ties by half; None without both."""
    ordered = sorted(scored)
    ones = sum(label for _, label in ordered)
    if not 0 < ones < len(ordered):
        return None
    total, place = 0.0, 0
    while place < len(ordered):
        end = place
        while end < len(ordered) and ordered[end][0] == ordered[place][0]:
            end += 1
        rank = (place + 1 + end) / 2
        total += rank * sum(label for _, label in ordered[place:end])
        place = end
    return (total - ones * (ones + 1) / 2) / (ones * (len(ordered) - ones))
