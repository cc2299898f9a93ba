"""Has the mean of a loss risen? A detector that may look after every row, with a stated time between false alarms.

An e-detector of Shiryaev's and Roberts's kind (Shin, Ramdas and Rinaldo 2022, E-detectors, arXiv 2203.03532): as long as the
mean of each loss, given all before it, is at most `baseline`, the mean of the statistics below grows by no more than one a
row, so that on average at least `run_length` rows pass before it reaches `run_length`. That holds for any losses between 0
and 1, whatever their distribution, and for 0 and 1 alone the bets are the likelihood ratios of Bernoulli trials.

What it rests on: `baseline` is no less than the true mean. Where that was measured, its upper confidence limit is to be given
(`mlctl.stats.limits`), not the estimate: with the estimate itself, half of all models would alarm without any drift.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

ODDS = (1.2, 1.4, 1.7, 2.2, 3.0, 5.0)  # how much worse the odds of a loss may become: one bet for each
LONGEST = 1e300  # a statistic that is not looked at any more stays finite


@dataclass(frozen=True, slots=True)
class Crossing:
    """The first time that the detector reached its bound: after which row, and since which row the loss seems to be higher."""

    row: int
    start: int  # rows before the change, as the likeliest bet tells it
    statistic: float


@dataclass(slots=True)
class EDetector:
    """One stream of losses. What has to be remembered is small, and JSON: `memory`, and `remembered` back."""

    baseline: float
    run_length: float
    statistics: list[float] = field(default_factory=lambda: [0.0] * len(ODDS))
    sums: list[float] = field(
        default_factory=lambda: [0.0] * len(ODDS)
    )  # of log bets since the change that is likeliest
    starts: list[int] = field(default_factory=lambda: [0] * len(ODDS))
    rows: int = 0
    crossing: Crossing | None = None

    def __post_init__(self) -> None:
        """Raise ValueError for a baseline or a run length that no detector can keep."""
        if not 0 < self.baseline < 1:
            raise ValueError(f"a baseline lies between 0 and 1, and not at {self.baseline}")
        if not self.run_length > 1:
            raise ValueError(f"a run length is more than one row, and not {self.run_length}")

    @property
    def alternatives(self) -> tuple[float, ...]:
        """The mean losses that are bet on."""
        odds = self.baseline / (1 - self.baseline)
        return tuple(odds * factor / (1 + odds * factor) for factor in ODDS)

    @property
    def level(self) -> float:
        """The mean of the statistics, which alarms when it reaches the run length."""
        return sum(self.statistics) / len(self.statistics)

    def feed(self, losses: Sequence[float]) -> None:
        """More losses, in order. Once crossed it stays so, and only counts on. Raises ValueError for what is no loss."""
        stakes = [(mean - self.baseline) / (self.baseline * (1 - self.baseline)) for mean in self.alternatives]
        for loss in losses:
            if not 0 <= loss <= 1:
                raise ValueError(f"a loss lies between 0 and 1, and not at {loss}")
            self.rows += 1
            if self.crossing is None:
                self._take(loss, stakes)

    def _take(self, loss: float, stakes: Sequence[float]) -> None:
        excess, total = loss - self.baseline, 0.0
        for index, stake in enumerate(stakes):
            bet = 1 + stake * excess
            self.statistics[index] = min((self.statistics[index] + 1) * bet, LONGEST)
            total += self.statistics[index]
            self.sums[index] += math.log(bet)
            if self.sums[index] <= 0:
                self.sums[index], self.starts[index] = 0.0, self.rows
        if total >= self.run_length * len(stakes):
            likeliest = max(range(len(stakes)), key=self.sums.__getitem__)
            self.crossing = Crossing(self.rows, self.starts[likeliest], total / len(stakes))

    def memory(self) -> dict[str, Any]:
        """What a later process has to know to go on."""
        crossed = self.crossing
        return {
            "statistics": list(self.statistics), "sums": list(self.sums), "starts": list(self.starts), "rows": self.rows,
            "crossing": None if crossed is None else [crossed.row, crossed.start, crossed.statistic],
        }  # fmt: skip

    @classmethod
    def remembered(cls, baseline: float, run_length: float, memory: Mapping[str, Any]) -> EDetector:
        """The detector as it was. Raises KeyError, TypeError, ValueError when the memory is not one."""
        lists = [[float(value) for value in memory[name]] for name in ("statistics", "sums")]
        starts = [int(value) for value in memory["starts"]]
        if {len(lists[0]), len(lists[1]), len(starts)} != {len(ODDS)}:
            raise ValueError("another mixture was remembered")
        crossed = memory["crossing"]
        crossing = None if crossed is None else Crossing(int(crossed[0]), int(crossed[1]), float(crossed[2]))
        return cls(baseline, run_length, lists[0], lists[1], starts, int(memory["rows"]), crossing)
