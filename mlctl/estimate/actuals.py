"""What runs and deployments did cost: measured times at the price of then. What is not known is None, and never 0."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from math import fsum

from mlctl.estimate.api_prices import ApiPrices
from mlctl.types.estimate import Estimate
from mlctl.types.log_counts import Counts

MEASURED, STEP = "measured", "step"  # by the devices' own clock, or by that of the step, with all its waits


@dataclass(frozen=True, slots=True)
class Run:
    """One thing that was made, beside what was foretold of it. `why`: what its cost is not known for."""

    address: str
    key: str
    at: str
    foretold: Estimate | None
    seconds: float | None = None
    usd: float | None = None
    basis: str = MEASURED
    why: str = ""
    span: float | None = (
        None  # seconds of what was foretold: from start to end, or of the steps alone by an older mlctl
    )

    @property
    def ratio(self) -> float | None:
        """How many times the likely cost it took; of the time where nothing is paid."""
        whole = None if self.foretold is None else self.foretold.whole
        usd = None if whole is None or whole.usd is None else whole.usd.mid
        seconds = None if whole is None or whole.seconds is None else whole.seconds.mid
        for took, thought in ((self.usd, usd), (self.span, seconds)):
            if took is not None and thought:
                return took / thought
        return None


@dataclass(frozen=True, slots=True)
class ApiCost:
    """What the same tokens cost from somebody else's API; `usd` is None where it has no price for them."""

    provider: str
    model: str
    source: str
    usd: float | None
    per_million: float | None = None
    why: str = ""


@dataclass(frozen=True, slots=True)
class Service:
    """One deployment over a time. `hourly` is all of its devices, None where their price is not known."""

    address: str
    since: str
    hours: float | None  # None where it does not run, and no log says until when it did
    up: bool
    hourly: float | None
    counts: Counts | None  # None where its log is not on this machine, or it keeps none
    notes: tuple[str, ...] = ()
    api: ApiCost | None = None

    @property
    def usd(self) -> float | None:
        """For as long as it was up."""
        return None if self.hourly is None or self.hours is None else self.hourly * self.hours

    @property
    def per_thousand(self) -> float | None:
        """Dollars for each 1,000 requests that were answered."""
        answered = 0 if self.counts is None else self.counts.answered
        return self.usd / answered * 1000 if self.usd is not None and answered else None

    @property
    def per_million(self) -> float | None:
        """Dollars for each million tokens, of prompts and answers together."""
        tokens = None if self.counts is None else self.counts.total
        number = 0 if tokens is None else tokens.prompt + tokens.answer
        return self.usd / number * 1e6 if self.usd is not None and number else None


def hours_up(
    at: str, counts: Counts | None, since: datetime, now: datetime, *, up: bool
) -> tuple[datetime, float | None]:
    """From when on a deployment was there within a time, and for how many hours.

    It was there when it was made, and when its log has a line: one that was changed since it was made first was there before.
    One that does not run any more was there until its last line; where there is none, nobody knows until when.
    """
    told = [moment for text in (at, counts.first if counts else "") if (moment := _moment(text)) is not None]
    begun = max(since, min(told, default=now))
    last = _moment(counts.last) if counts is not None else None
    ended = now if up else last
    return begun, None if ended is None else max(0.0, (ended - begun).total_seconds() / 3600)


def by_api(counts: Counts | None, prices: ApiPrices, model: str) -> ApiCost:
    """The tokens of a log at the prices of an API, each day's by its own. Raises LookupError for a model that it does not have."""
    made = ApiCost(prices.provider, model, prices.source, None)
    if counts is None or not counts.tokens:
        return ApiCost(prices.provider, model, prices.source, None, why="no tokens were counted")
    total, number = Fraction(0), 0
    for (day, _), group in sorted(counts.tokens.items()):
        mean = [max(1, round(value / group.requests)) for value in (group.prompt, group.answer)]
        cached = min(mean[0], round(group.cached / group.requests))
        at = datetime.fromisoformat(day).replace(tzinfo=UTC)
        each = prices.cost(model, mean[0], mean[1], cached, at)
        if any(value is None for value in each):
            return ApiCost(prices.provider, model, prices.source, None, why="it has no price of tokens")
        total += sum(_share(price, length, amount) for price, length, amount in zip(each, mean, (group.prompt, group.answer), strict=True))  # fmt: skip
        number += group.prompt + group.answer
    usd = float(total)
    return ApiCost(made.provider, model, made.source, usd, usd / number * 1e6 if number else None)


def _share(price: Decimal | None, length: int, amount: int) -> Fraction:
    return Fraction(price or 0) / length * amount


def known(values: Sequence[float | None]) -> tuple[float | None, int]:
    """The sum of what is known, and of how many it is not. Where nothing is known of any, neither is the sum."""
    found = [value for value in values if value is not None]
    return fsum(found) if found or not values else None, len(values) - len(found)


def _moment(text: str) -> datetime | None:
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        return None
    return found if found.tzinfo is not None else found.replace(tzinfo=UTC)
