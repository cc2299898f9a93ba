"""Right-sizing: of all that could be rented the one that costs least and will do, and for each other why it does not.

An option fits, is in time, and is supported by the software, in this order; what passes costs what is expected of it, with what
spot devices lose and with whole machines where those are sold. Costs within 5 % of the least are alike: then fewer devices count,
then fewer machines, then devices that stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum

from mlctl.estimate import money, spot
from mlctl.estimate.devices import Device
from mlctl.estimate.fit import USABLE, Fit
from mlctl.estimate.options import Option
from mlctl.estimate.spot import TYPICAL, Spot
from mlctl.estimate.workload import Outlook, Serves, Workload
from mlctl.types.estimate import Range
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_latency, spoken_seconds

ALIKE = 1.05  # costs below this many times the least are not told apart
_LONG = Range.exactly(365 * 24 * money.HOUR)  # work that does not end before it is interrupted
IDLE = 0.40  # who needs less than this share of a device has too much of it


class Constraint(StrEnum):
    """What an option fails by, in the order in which it is asked."""

    MEMORY = "memory"
    DEADLINE = "deadline"
    TPOT = "tpot"
    TTFT = "ttft"
    CONCURRENCY = "concurrency"
    SOFTWARE = "software"
    INTERRUPTIONS = "interruptions"
    UNKNOWN = "unknown"  # what would have to be known to choose it
    COST = "cost"
    TIE = "tie"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is asked of an option beside that it runs; None is no wish. A time to the first token is a floor, which can only fail."""

    deadline: float | None = None  # seconds until it is done
    tpot: float | None = None  # seconds a token
    ttft: float | None = None  # seconds to the first token
    concurrency: int | None = None  # requests of the greatest length at once
    usual: int | None = None  # requests of the usual length at once, assumed where nothing is said of `concurrency`
    usual_tokens: int = 0  # of such a request


@dataclass(frozen=True, slots=True)
class Judged:
    """An option, what it would do and cost, and what it fails by if it does."""

    option: Option
    outlook: Outlook
    usd: Range | None = None  # of a build: all of it, with what spot devices lose; None where the time is not known
    elapsed: Range | None = None  # seconds until it is done, waiting for spot devices included
    useful: float = 1.0  # the share of the paid time that work gets done in
    interval: float | None = None  # of spot devices: the seconds between checkpoints that lose least
    lost: Constraint | None = None
    why: str = ""

    @property
    def passes(self) -> bool:
        """Whether it would do, whatever it costs."""
        return self.lost in (None, Constraint.COST, Constraint.TIE)


@dataclass(frozen=True, slots=True)
class Today:
    """Where the project puts the workload now."""

    outlook: Outlook
    option: Option | None = None  # None where no price is known of it
    usd: Range | None = None
    elapsed: Range | None = None
    useful: float = 1.0  # the share of the paid time that work gets done in
    lost: Constraint | None = None  # what it fails by itself; never its cost
    why: str = ""
    oversized: str = ""  # how much of it stays idle, and what smaller device would do


@dataclass(frozen=True, slots=True)
class Sizing:
    """The choice, what else would do by cost, and what would not; with where the workload is today."""

    chosen: Judged | None
    others: tuple[Judged, ...]  # those that pass first, the cheapest first
    today: Today
    by_hour: bool = False  # ranked by what an hour costs: a service, or a time that is not known
    lasting: bool = False  # a service
    wish: Wish = field(default_factory=Wish)  # what was asked, with what was assumed

    @property
    def there(self) -> bool:
        """Whether the choice is where the workload is already."""
        now, chosen = self.today, self.chosen
        if chosen is None or now.option is None:
            return False
        return now.option.place == chosen.option.place

    @property
    def saves(self) -> float | None:
        """Likely dollars less than today, of the whole work or of an hour; None where one of both is not known."""
        if self.chosen is None or self.today.option is None:
            return None
        if self.by_hour:
            return self.today.option.hourly.mid / self.today.useful - price(self.chosen, by_hour=True)
        if self.today.usd is None or self.chosen.usd is None:
            return None
        return self.today.usd.mid - self.chosen.usd.mid


def size(
    workload: Workload,
    options: Iterable[Option],
    wish: Wish | None = None,
    *,
    today: Option | None = None,
    measured: float | None = None,
    spot_market: Spot = TYPICAL,
) -> Sizing:
    """Judge every option. `today` is the price of where the workload is now, where one is known; `measured` are the bytes that
    a device was seen to hold."""
    wish = assumed(workload, wish or Wish())
    seen = _remembered(workload)
    judged = [judge(workload, option, wish, seen(option.device), spot_market) for option in options]
    passing = [item for item in judged if item.lost is None]
    by_hour = workload.lasting or all(item.usd is None for item in passing or judged)
    if not by_hour:  # of two that pass, one whose cost is not known cannot be the cheaper one
        judged = [_unpriced(item) if item.lost is None and item.usd is None else item for item in judged]
        passing = [item for item in judged if item.lost is None]
    chosen, least = _cheapest(passing, by_hour=by_hour)
    others = [
        item if item.lost is not None or chosen is None else _beaten(item, chosen, least, by_hour=by_hour)
        for item in judged
        if item is not chosen
    ]
    ranks = list(Constraint)
    others.sort(key=lambda item: (0 if item.passes else 1 + ranks.index(item.lost or Constraint.COST),
                                  price(item, by_hour=by_hour), *_place(item)))  # fmt: skip
    return Sizing(
        chosen,
        tuple(others),
        _today(workload, today, wish, seen, [item for item in (chosen, *others) if item is not None], measured, spot_market),
        by_hour,
        workload.lasting,
        wish,
    )  # fmt: skip


def assumed(workload: Workload, wish: Wish) -> Wish:
    """A wish with as many requests at once as the project has the service work on, where nobody says how many there will be."""
    if wish.concurrency is not None or not workload.lasting or not isinstance(workload, Serves):
        return wish
    return replace(wish, usual=workload.wanted, usual_tokens=workload.usual_tokens)


def judge(
    workload: Workload, option: Option, wish: Wish, outlook: Outlook | None = None, market: Spot = TYPICAL
) -> Judged:
    """One option by itself: what it takes, and the first thing that it fails by."""
    outlook = workload.on(option.device) if outlook is None else outlook
    found = _costed(workload, option, outlook, market)
    lost, why = _fails(workload, found, wish)
    return replace(found, lost=lost, why=why)


def price(item: Judged, *, by_hour: bool) -> float:
    """The figure that options are ranked by: likely dollars of the whole work, or of an hour that gets work done."""
    return item.option.hourly.mid / item.useful if by_hour or item.usd is None else item.usd.mid


def _remembered(workload: Workload) -> Callable[[Device], Outlook]:
    """The outlook on a device, asked once for all providers and tiers."""
    known: dict[Device, Outlook] = {}

    def outlook(device: Device) -> Outlook:
        if device not in known:
            known[device] = workload.on(device)
        return known[device]

    return outlook


def _costed(workload: Workload, option: Option, outlook: Outlook, market: Spot) -> Judged:
    seconds, saves = outlook.seconds, workload.checkpoint_seconds
    if workload.lasting or (seconds is None and (option.tier != "spot" or saves is None)):
        return Judged(option, outlook, elapsed=seconds)
    if seconds is None:  # what is lost of an hour is known all the same
        lost = spot.expected(_LONG, option.hourly, checkpoint_seconds=saves or 0.0, spot=market, nodes=option.nodes)
        return Judged(option, outlook, useful=lost.useful.mid, interval=lost.interval)
    if option.tier != "spot" or saves is None:
        return Judged(option, outlook, money.cost(seconds, option.hourly), seconds)
    found = spot.expected(seconds, option.hourly, checkpoint_seconds=saves, spot=market, nodes=option.nodes)
    return Judged(option, outlook, found.cost, found.elapsed, found.useful.mid, found.interval)


def _fails(workload: Workload, item: Judged, wish: Wish) -> tuple[Constraint | None, str]:
    """The first thing in order that an option fails by."""
    if item.outlook.unsupported and item.outlook.memory is None:  # there is nothing to ask of it
        return Constraint.SOFTWARE, item.outlook.unsupported
    for told in (_memory(item.outlook), _in_time(item, wish), _served(item.outlook, wish)):
        if told is not None:
            return told
    if item.outlook.unsupported:
        return Constraint.SOFTWARE, item.outlook.unsupported
    if item.option.tier == "spot" and workload.lasting:
        return Constraint.INTERRUPTIONS, "spot devices are taken away at any time, and a service has to be there"
    if item.option.tier == "spot" and workload.checkpoint_seconds is None:
        return Constraint.INTERRUPTIONS, "nothing is saved on the way, so that each interruption begins anew"
    return None, ""


def _memory(outlook: Outlook) -> tuple[Constraint, str] | None:
    device, needed = outlook.device, outlook.memory
    usable = device.memory * USABLE
    if outlook.fit is Fit.FITS and (needed is None or needed.high <= usable):
        return None
    if needed is None:
        return Constraint.MEMORY, outlook.why or f"{outlook.fit}"
    there = f"{spoken_bytes(usable)} of {spoken_bytes(device.memory)} may be used of {_one(device)}"
    if needed.low > device.memory:
        return Constraint.MEMORY, f"needs {spoken_bytes(needed.low)} at least, and {there}"
    return Constraint.MEMORY, f"may need {spoken_bytes(needed.high)} (likely {spoken_bytes(needed.mid)}), and {there}"


def _in_time(item: Judged, wish: Wish) -> tuple[Constraint, str] | None:
    if wish.deadline is None:
        return None
    if item.elapsed is None:
        return Constraint.UNKNOWN, "how long it takes is not known, and there is a deadline"
    if item.elapsed.high <= wish.deadline:
        return None
    waiting = ", waiting for spot devices included" if item.option.tier == "spot" else ""
    taken = f"{spoken_seconds(item.elapsed.high)} (likely {spoken_seconds(item.elapsed.mid)}){waiting}"
    return Constraint.DEADLINE, f"may take {taken}, and the deadline is {spoken_seconds(wish.deadline)}"


def _served(outlook: Outlook, wish: Wish) -> tuple[Constraint, str] | None:
    """What was asked of a service. Of the time to the first token only a floor is known."""
    figures = outlook.figures
    for name, asked, constraint in (
        ("tpot_seconds", wish.tpot, Constraint.TPOT),
        ("ttft_seconds", wish.ttft, Constraint.TTFT),
        ("concurrency", wish.concurrency, Constraint.CONCURRENCY),
    ):
        if asked is None:
            continue
        found = figures.get(name)
        if found is None:
            return Constraint.UNKNOWN, f"its {name.removesuffix('_seconds')} is not known, and one is asked for"
        if constraint is Constraint.TPOT and found.high > asked:
            return constraint, f"a token may take {spoken_latency(found.high)} (likely {spoken_latency(found.mid)}), and {spoken_latency(asked)} are asked for"  # fmt: skip
        if constraint is Constraint.TTFT and found.low > asked:
            return constraint, f"the first token takes {spoken_latency(found.low)} at least, and {spoken_latency(asked)} are asked for"  # fmt: skip
        if constraint is Constraint.CONCURRENCY and found.low < asked:
            return constraint, f"has room for {found.low:,.0f} requests at once, and {asked:,} are asked for"
    room = outlook.usual
    if wish.usual is not None and room is not None and room.low < wish.usual:
        many = f"{room.low:,.0f} requests of {wish.usual_tokens:,} tokens at once"
        return Constraint.CONCURRENCY, f"has room for {many}, and `max_running` has {wish.usual:,}"
    return None


def _cheapest(passing: list[Judged], *, by_hour: bool) -> tuple[Judged | None, float]:
    """The choice among what passes, and the least that any of it costs."""
    if not passing:
        return None, 0.0
    costs = [price(item, by_hour=by_hour) for item in passing]
    least = min(costs)
    alike = [item for item, cost in zip(passing, costs, strict=True) if _alike(cost, least)]
    return min(alike, key=lambda item: (*_preferred(item), price(item, by_hour=by_hour), *_place(item))), least


def _alike(cost: float, least: float) -> bool:
    return cost == least or cost < least * ALIKE


def _preferred(item: Judged) -> tuple[int, int, bool]:
    """What decides between costs that are alike."""
    return item.option.paid, item.option.nodes, item.option.tier == "spot"


def _place(item: Judged) -> tuple[str, int, str, str]:
    """So that the same options in another order give the same answer."""
    option = item.option
    return option.device.name, option.device.count, option.tier, option.provider


def _unpriced(item: Judged) -> Judged:
    return replace(item, lost=Constraint.UNKNOWN, why="how long it takes is not known, and with that what it costs")


def _beaten(item: Judged, chosen: Judged, least: float, *, by_hour: bool) -> Judged:
    """What passes and is not chosen: it costs more, or as much and comes behind."""
    paid, cost = price(chosen, by_hour=by_hour), price(item, by_hour=by_hour)
    if not _alike(cost, least):
        of = " an hour" if by_hour else ""
        more = f" (+{cost / paid - 1:.0%})" if paid else ""
        why = f"{spoken_dollars(cost)}{of} instead of {spoken_dollars(paid)}{more}{_because(item)}"
        return replace(item, lost=Constraint.COST, why=why)
    return replace(item, lost=Constraint.TIE, why=f"costs about the same, and {_behind(item, chosen)}")


def _because(item: Judged) -> str:
    """What makes it dear beside its price."""
    found = []
    if item.option.paid > item.option.device.count:
        found.append(f"{item.option.paid} are rented for {item.option.device.count}")
    if item.useful < 1:
        found.append(f"{item.useful:.0%} of the paid time is useful")
    if item.outlook.slow:
        found.append(item.outlook.slow)
    return f"; {', '.join(found)}" if found else ""


def _behind(item: Judged, chosen: Judged) -> str:
    mine, its = _preferred(item), _preferred(chosen)
    if mine[0] > its[0]:
        return f"takes {mine[0]} devices instead of {its[0]}"
    if mine[1] > its[1]:
        return f"takes {mine[1]} machines instead of {its[1]}"
    if mine[2] > its[2]:
        return "its devices may be taken away"
    return "is not better in anything"


def _today(
    workload: Workload,
    option: Option | None,
    wish: Wish,
    seen: Callable[[Device], Outlook],
    judged: list[Judged],
    measured: float | None,
    market: Spot,
) -> Today:
    """Where the workload is now, by the same questions."""
    outlook = seen(workload.device)
    if option is not None:
        found = judge(workload, option, wish, outlook, market)
        today = Today(outlook, option, found.usd, found.elapsed, found.useful, found.lost, found.why)
    else:
        told = (Constraint.SOFTWARE, outlook.unsupported) if outlook.unsupported else _memory(outlook)
        told = told or _late(outlook, wish) or _served(outlook, wish)
        today = Today(outlook, None, None, outlook.seconds, 1.0, *(told or (None, "")))
    return replace(today, oversized=_idle(outlook, wish, judged, measured))


def _late(outlook: Outlook, wish: Wish) -> tuple[Constraint, str] | None:
    """The deadline of devices without a price: they stay."""
    taken = outlook.seconds
    if wish.deadline is None or taken is None or taken.high <= wish.deadline:
        return None
    words = f"may take {spoken_seconds(taken.high)} (likely {spoken_seconds(taken.mid)})"
    return Constraint.DEADLINE, f"{words}, and the deadline is {spoken_seconds(wish.deadline)}"


def _filled(outlook: Outlook, wish: Wish) -> tuple[float, str]:
    """Bytes that a device likely holds with the requests that are wanted at once, and which those are, in words."""
    one = outlook.memory.mid if outlook.memory is not None else 0.0
    if not outlook.each:
        return one, ""
    if wish.concurrency is not None:
        filled = one + (wish.concurrency - 1) * outlook.each
        return min(filled, outlook.device.memory), f" with {wish.concurrency:,} requests of the greatest length at once"
    if wish.usual is not None:
        filled = one - outlook.each + wish.usual * outlook.each_usual
        words = f" with {wish.usual:,} requests of {wish.usual_tokens:,} tokens at once"
        return min(filled, outlook.device.memory), words
    return one, " with one request of the greatest length at a time"


def _idle(outlook: Outlook, wish: Wish, judged: list[Judged], measured: float | None) -> str:
    """How much of a device stays idle, where a smaller one that is listed would do; nothing of what is no GPU."""
    device = outlook.device
    if device.host or not device.memory or (measured is None and outlook.memory is None):
        return ""
    needed, requests = (measured, "") if measured is not None else _filled(outlook, wish)
    smaller = [item for item in judged if item.passes and item.option.device.memory < device.memory]
    if needed >= IDLE * device.memory or not smaller:
        return ""
    chosen = next((item for item in smaller if item.lost is None), None)
    least = chosen or min(smaller, key=lambda item: (item.option.device.memory, item.option.hourly.mid, *_place(item)))
    how = "was measured" if measured is not None else "is foreseen"
    return (
        f"{spoken_bytes(needed)} of {spoken_bytes(device.memory)} {how} to be used{requests} ({needed / device.memory:.0%}), and "
        f"{least.option.name} with {spoken_bytes(least.option.device.memory)} would do"
    )


def _one(device: Device) -> str:
    return "this machine" if device.host else f"one {device.name}"
