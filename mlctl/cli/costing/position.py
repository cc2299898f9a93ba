"""Where a workload is: what it takes there, what that costs, and what the cheapest devices for it would."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from mlctl.estimate import money
from mlctl.estimate.advice import LEAST, Difference, Saving
from mlctl.estimate.fit import Fit
from mlctl.estimate.options import Option
from mlctl.estimate.sizing import ALIKE, Judged, Sizing, Wish, judge, price, size
from mlctl.estimate.workload import Outlook, Workload
from mlctl.types.estimate import FORMULA, Range
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds

SPEED = "tokens_per_second"
_MILLION = 1e6


@dataclass(frozen=True)
class Position:
    """A workload on its own devices, and its right size."""

    workload: Workload
    outlook: Outlook
    judged: Judged | None  # with the price of its devices, where one is known
    best: Sizing

    @property
    def fits(self) -> bool:
        """Whether it surely runs where it is."""
        return self.outlook.fit is Fit.FITS and not self.outlook.unsupported

    @property
    def short(self) -> str:
        """By how much it likely does not fit where it is; nothing where it likely does, or its memory is not known."""
        needed, device = self.outlook.memory, self.outlook.device
        if needed is None or not device.memory or needed.mid <= device.memory:
            return ""
        return f"{spoken_bytes(needed.mid)} of {spoken_bytes(device.memory)}"

    @property
    def busy(self) -> Range | None:
        """Seconds until a training is done, for spot devices with the waiting; of a service, for a million tokens at full load."""
        if not self.workload.lasting:
            return self.outlook.seconds if self.judged is None else self.judged.elapsed
        speed = self.outlook.figures.get(SPEED)
        if speed is None or not speed.low:
            return None
        return Range(_MILLION / speed.high, _MILLION / speed.mid, _MILLION / speed.low, speed.basis)

    @property
    def usd(self) -> Range | None:
        """All of a training; of a service, a million tokens at full load."""
        if self.judged is None:
            return None
        if not self.workload.lasting:
            return self.judged.usd
        hourly, busy = self.judged.option.hourly, self.busy
        if busy is None:
            return None
        return money.cost(busy, hourly)

    @property
    def cost(self) -> float | None:
        """The likely figure of it."""
        return None if self.usd is None else self.usd.mid

    @property
    def least(self) -> float | None:
        """What it would likely cost on the cheapest devices that will do."""
        return None if self.best.chosen is None else price(self.best.chosen, by_hour=self.best.by_hour)


def placed(workload: Workload, option: Option | None, offered: Sequence[Option]) -> Position:
    """A workload where it is."""
    outlook = workload.on(workload.device)
    judged = None if option is None else judge(workload, option, Wish(), outlook)
    return Position(workload, outlook, judged, size(workload, offered, today=option))


@dataclass(frozen=True)
class Ratio:
    """What a change makes of time and memory by the formulas alone: where past runs put right only one of two estimates, they
    could not be held against each other."""

    seconds: float | None
    memory: float | None

    @classmethod
    def of(cls, before: Outlook, after: Outlook) -> Ratio:
        """From both outlooks as the formulas have them."""
        return cls(_over(before.seconds, after.seconds), _over(before.memory, after.memory))


def alike(before: Position, after: Position) -> bool:
    """Whether both estimates come from the same: the formulas, or past runs too."""
    return all(
        (one is None or one.basis == FORMULA) == (other is None or other.basis == FORMULA)
        for one, other in (
            (before.outlook.seconds, after.outlook.seconds),
            (before.outlook.memory, after.outlook.memory),
        )
    )


def difference(before: Position, after: Position, ratio: Ratio | None = None) -> Saving:
    """What one saves over the other, each where it is."""
    opened = opens(before, after)
    notes = [text for text in (_fitting(before, after), opened) if text]
    was, now = before.busy, after.busy
    usd, memory = after.usd, after.outlook.memory
    if ratio is not None:
        now, usd = _times(was, ratio.seconds), _times(before.usd, ratio.seconds)
        memory = _times(before.outlook.memory, ratio.memory)
    notes += [text for text in (_slower(before, after),) if text]
    freed = Difference.of(before.outlook.memory, memory)
    needed = not before.fits and freed is not None and freed.share > LEAST
    return Saving(
        usd=Difference.of(before.usd, usd),
        per="a million tokens" if before.workload.lasting else "",
        seconds=Difference.of(was, now),
        memory=freed,
        notes=tuple(notes),
        enables=bool(opened) or needed,
    )


def _over(before: Range | None, after: Range | None) -> float | None:
    return None if before is None or after is None or not before.mid else after.mid / before.mid


def _times(found: Range | None, ratio: float | None) -> Range | None:
    return None if found is None or ratio is None else found * ratio


def served(now: Outlook, then: Outlook) -> str:
    """What a service would do on other devices, where nobody said what it has to."""
    if (tokens := _both(now, then, "tpot_seconds")) is None or (room := _both(now, then, "concurrency")) is None:
        return ""
    token = f"a token takes {tokens[1] * 1000:.3g} ms instead of {tokens[0] * 1000:.3g} ms"
    at_once = f"{room[1]:,.0f} requests have room at once instead of {room[0]:,.0f}"
    return f"{token}, and {at_once}: `mlctl cost size --tpot --concurrency` keeps to what is needed"


def more(address: str, before: Position | None, after: Position | None) -> str:
    """What another resource takes more for it."""
    if before is None or after is None:
        return f"what {address} then takes is not known"
    usd, seconds = Difference.of(before.usd, after.usd), Difference.of(before.busy, after.busy)
    if usd is not None and usd.mid:
        return f"{address} then costs {spoken_dollars(abs(usd.mid))} {'more' if usd.mid < 0 else 'less'}"
    if seconds is not None and seconds.mid:
        return f"{address} then takes {spoken_seconds(abs(seconds.mid))} {'more' if seconds.mid < 0 else 'less'}"
    if usd is None and seconds is None:
        return f"what {address} then takes is not known"
    return f"{address} then takes as long as before"


def _both(now: Outlook, then: Outlook, name: str) -> tuple[float, float] | None:
    first, second = now.figures.get(name), then.figures.get(name)
    return None if first is None or second is None else (first.mid, second.mid)


def _fitting(before: Position, after: Position) -> str:
    if after.fits and not before.fits:
        return "with it, it surely fits the devices it is on"
    if after.short:
        return f"with it, it likely does not fit the devices it is on: {after.short}"
    return "" if after.fits or not before.fits else "with it, it may not fit the devices it is on"


def _slower(before: Position, after: Position) -> str:
    """What a service gives for it: a token takes longer."""
    was, now = (item.outlook.figures.get("tpot_seconds") for item in (before, after))
    if was is None or now is None or now.mid <= was.mid * (1 + LEAST):
        return ""
    return f"a token takes {now.mid * 1000:.3g} ms instead of {was.mid * 1000:.3g} ms"


def opens(before: Position, after: Position) -> str:
    """Cheaper devices that will do with a change, and would not without."""
    was, now = before.best.chosen, after.best.chosen
    if now is None or before.least is None or after.least is None:
        return "" if now is None or was is not None else f"with it, {_named(now)} would do, and nothing does without"
    same = was is not None and was.option.device == now.option.device and was.option.tier == now.option.tier
    if same or after.least * ALIKE > before.least:
        return ""
    per = " an hour" if after.best.by_hour else ""
    return f"with it, {_named(now)} would do for {spoken_dollars(after.least)}{per} instead of {spoken_dollars(before.least)}{per} at the cheapest"  # fmt: skip


def _named(item: Judged) -> str:
    return f"{item.option.name} ({item.option.tier}, {item.option.provider})"
