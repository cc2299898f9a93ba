"""How far a judge can be believed: agreement beyond chance, and a rate put right for what the judge gets wrong."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

LEAST_KAPPA, LEAST_LABELS = 0.6, 100  # below, a judge may warn and never alarm
_REACH = 1.959963984540054


@dataclass(frozen=True, slots=True)
class Agreement:
    """A judge beside people, on answers that both judged."""

    both_yes: int
    only_judge: int
    only_people: int
    both_no: int

    @classmethod
    def of(cls, judge: Sequence[bool], people: Sequence[bool]) -> Agreement:
        """Count."""
        pairs = list(zip(judge, people, strict=True))
        return cls(*(pairs.count(pair) for pair in ((True, True), (True, False), (False, True), (False, False))))

    @property
    def rows(self) -> int:
        """How many answers both judged."""
        return self.both_yes + self.only_judge + self.only_people + self.both_no

    @property
    def sensitivity(self) -> float | None:
        """Of the answers that people pass, the share that the judge passes."""
        many = self.both_yes + self.only_people
        return self.both_yes / many if many else None

    @property
    def specificity(self) -> float | None:
        """Of the answers that people fail, the share that the judge fails."""
        many = self.both_no + self.only_judge
        return self.both_no / many if many else None

    def kappa(self) -> tuple[float, float] | None:
        """Cohen's (1960) kappa and its standard error (Fleiss, Cohen and Everitt 1969); None where it is not defined."""
        n = self.rows
        if not n:
            return None
        cells = [[self.both_yes / n, self.only_judge / n], [self.only_people / n, self.both_no / n]]
        judge, people = [sum(row) for row in cells], [sum(column) for column in zip(*cells, strict=True)]
        seen = cells[0][0] + cells[1][1]
        chance = sum(a * b for a, b in zip(judge, people, strict=True))
        if chance >= 1:
            return None  # everything is of one class, for both: there is nothing to agree on
        kappa = (seen - chance) / (1 - chance)
        ends = sum(cells[i][i] * ((1 - chance) - (judge[i] + people[i]) * (1 - seen)) ** 2 for i in (0, 1))
        rest = sum(cells[i][j] * (people[i] + judge[j]) ** 2 for i, j in ((0, 1), (1, 0)))
        spread = ends + (1 - seen) ** 2 * rest - (seen * chance - 2 * chance + seen) ** 2
        return kappa, math.sqrt(max(spread, 0.0) / n) / (1 - chance) ** 2

    def trusted(self) -> bool:
        """Whether the judge may alarm."""
        found = self.kappa()
        return found is not None and self.rows >= LEAST_LABELS and found[0] >= LEAST_KAPPA

    def corrected(self, yes: int, rows: int) -> tuple[float, float, float] | None:
        """A rate as people would find it, with both ends of its 95 % interval, from how many of `rows` the judge passes.

        Rogan and Gladen 1978; the interval is that of Lang and Reiczigel 2014, which holds with few labels too. None
        where the judge tells nothing apart, or one of the classes was never judged by people.
        """
        passed, failed = self.both_yes + self.only_people, self.both_no + self.only_judge
        if not rows or not passed or not failed:
            return None
        plain = _youden(self.both_yes / passed, self.both_no / failed)
        if plain <= 0:
            return None
        point = (yes / rows + self.both_no / failed - 1) / plain
        # as Agresti and Coull do, a few rows of each kind are added before the spread is taken
        rate = (yes + _REACH**2 / 2) / (rows + _REACH**2)
        se, sp = (self.both_yes + 1) / (passed + 2), (self.both_no + 1) / (failed + 2)
        youden = _youden(se, sp)
        if youden <= 0:
            return None
        middle = (rate + sp - 1) / youden
        shift = 2 * _REACH**2 * (middle * se * (1 - se) / (passed + 2) - (1 - middle) * sp * (1 - sp) / (failed + 2))
        variance = (
            rate * (1 - rate) / (rows + _REACH**2)
            + middle**2 * se * (1 - se) / (passed + 2)
            + (1 - middle) ** 2 * sp * (1 - sp) / (failed + 2)
        )
        reach = _REACH * math.sqrt(variance) / youden
        low, high = middle + shift - reach, middle + shift + reach
        return _share(point), _share(min(low, point)), _share(max(high, point))


def _youden(sensitivity: float, specificity: float) -> float:
    return sensitivity + specificity - 1


def _share(value: float) -> float:
    return min(max(value, 0.0), 1.0)
