"""What past runs say about the formulas: the ratio of actual to foretold, from the last runs that were alike.

Runs are alike that trained the same type of model by the same method and strategy on the same device, at the same order of
magnitude of parameters. The formula's own figure is what is compared, never one that was calibrated, so that corrections do not
add up.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

from mlctl.types.estimate import Range

LAST = 10  # runs that count
_MOST = 100.0  # a ratio beyond this, or below its inverse, is an accident and not a measure

Figure = Literal["memory", "seconds", "start"]  # `seconds` are those of the steps


@dataclass(frozen=True, slots=True)
class Group:
    """What makes two runs alike."""

    model: str
    method: str
    strategy: str
    device: str
    engine: str
    precision: str
    magnitude: int  # digits of the number of parameters

    @classmethod
    def of(cls, stored: object) -> Group | None:
        """From its stored form; None where it is none."""
        try:
            return cls(**stored) if isinstance(stored, Mapping) else None
        except TypeError:
            return None

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Run:
    """One past training: how many times what the formulas foretold it took, newest last."""

    group: Group
    memory: float | None
    seconds: float | None
    start: float | None = None

    @classmethod
    def of(cls, stored: Any) -> Run | None:
        """From the output `estimate` of a training; None where it has none, or one that somebody wrote by hand."""
        if not isinstance(stored, Mapping):
            return None
        group, ratio = Group.of(stored.get("group")), stored.get("ratio")
        if group is None or not isinstance(ratio, Mapping):
            return None
        seconds = ratio.get("seconds") if group.strategy == "single" or _counts_links(stored) else None
        return cls(group, _ratio(ratio.get("memory")), _ratio(seconds), _ratio(ratio.get("start")))


def _counts_links(stored: Mapping[str, Any]) -> bool:
    """Whether the formula that a run was held against knew what several devices exchange: an older mlctl's did not, and its ratio
    would have the links counted twice. It foretold no start either."""
    predicted = stored.get("predicted")
    return isinstance(predicted, Mapping) and "start" in predicted


def _ratio(value: object) -> float | None:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return None
    return float(value) if 1 / _MOST <= value <= _MOST else None


def calibrated(found: Range, figure: Figure, group: Group, runs: Iterable[Run]) -> Range:
    """The formula's figure as past runs put it right: by the median of their ratios, and as wide as these differ.

    One run narrows it to half and double the way of the formula at most; more runs narrow it to what they were.
    """
    ratios = [value for run in runs if run.group == group and (value := getattr(run, figure)) is not None][-LAST:]
    if not ratios or found.mid == 0:
        return found
    middle = statistics.median(ratios)
    doubt = 1 + 0.6 / len(ratios)  # what a next run may bring that none of these has shown
    low, high = min(ratios) / middle / doubt, max(ratios) / middle * doubt
    low, high = max(low, min(1.0, found.low / found.mid)), min(high, max(1.0, found.high / found.mid))
    mid = found.mid * middle
    count = f"{len(ratios)} run" if len(ratios) == 1 else f"{len(ratios)} runs"
    return Range(mid * low, mid, mid * high, f"calibrated from {count}")


def runs_of(outputs: Sequence[Any]) -> list[Run]:
    """The runs among the outputs of trainings, in their order."""
    return [run for item in outputs if isinstance(item, Mapping) and (run := Run.of(item.get("estimate"))) is not None]
