"""What a workload would take on everything that can be rented: the cheapest first, with those that nothing else beats in both
time and money, and for what will not do the reason."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from mlctl.estimate import sizing
from mlctl.estimate.devices import sheet_name
from mlctl.estimate.options import Option
from mlctl.estimate.sizing import Judged, Wish
from mlctl.estimate.spot import TYPICAL, Spot
from mlctl.estimate.workload import Workload

_FASTER = 0.98  # of the time of what costs less: a smaller gain is none
SPEED = "tokens_per_second"  # of a service: what it does in a second


@dataclass(frozen=True, slots=True)
class Row:
    """One option. `best` ones are not beaten: what costs less takes longer, and what is faster costs more."""

    judged: Judged
    best: bool = False
    here: bool = False  # where the project puts it now

    @property
    def option(self) -> Option:
        """What is rented."""
        return self.judged.option


@dataclass(frozen=True, slots=True)
class Comparison:
    """All options of one workload."""

    workload: Workload
    rows: tuple[Row, ...]  # that will do, the cheapest first
    others: tuple[Judged, ...]  # that will not, with the reason
    by_hour: bool  # ordered by what an hour costs: a service, or a time that is not known
    today: date | None = None  # the day that prices are judged by; without one, none is old

    def age(self, option: Option) -> int:
        """How old its price is, in days."""
        return 0 if self.today is None else option.price.age(self.today)


def compare(
    workload: Workload,
    options: Iterable[Option],
    wish: Wish | None = None,
    *,
    market: Spot = TYPICAL,
    today: date | None = None,
) -> Comparison:
    """Judge every option as right-sizing does, and keep all that would do."""
    wish = wish or Wish()
    outlooks = {}
    judged = []
    for option in options:
        if option.device not in outlooks:
            outlooks[option.device] = workload.on(option.device)
        judged.append(sizing.judge(workload, option, wish, outlooks[option.device], market))
    good = [item for item in judged if item.lost is None]
    by_hour = workload.lasting or any(item.usd is None for item in good)
    good.sort(key=lambda item: (sizing.price(item, by_hour=by_hour), *_place(item.option)))
    best = unbeaten([figures(item, by_hour=by_hour) for item in good])
    rows = tuple(Row(item, fine, _here(item.option, workload)) for item, fine in zip(good, best, strict=True))
    others = sorted((item for item in judged if item.lost is not None), key=lambda item: _place(item.option))
    return Comparison(workload, rows, tuple(others), by_hour, today)


def unbeaten(points: Iterable[tuple[float, float | None]]) -> list[bool]:
    """Of points of money and time, which are faster than all that cost less, by more than nothing. Without a time, none is."""
    found = list(points)
    result = [False] * len(found)
    fast: float | None = None  # the least time of all that cost less
    for _, time, number in sorted(
        (money, time, number) for number, (money, time) in enumerate(found) if time is not None
    ):
        if fast is None or time < fast * _FASTER:
            result[number] = True
            fast = time
    return result


def figures(item: Judged, *, by_hour: bool) -> tuple[float, float | None]:
    """Likely money, and what is to be small beside it: the time of a build, or that of a service for a million tokens."""
    money = sizing.price(item, by_hour=by_hour)
    if item.elapsed is not None:
        return money, item.elapsed.mid
    speed = item.outlook.figures.get(SPEED)
    return money, None if speed is None or not speed.mid else 1e6 / speed.mid


def _place(option: Option) -> tuple[str, int, str, str]:
    """So that the order does not hang on that of the price lists."""
    return option.device.name, option.device.count, option.tier, option.provider


def _here(option: Option, workload: Workload) -> bool:
    device = workload.device
    return option.place == (sheet_name(device), device.count, workload.tier or "owned")
