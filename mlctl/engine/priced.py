"""The prices that a plan was made with: which they are, whether they may be used, and what has changed since something was made."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from datetime import date
from typing import Any

from mlctl.estimate.prices import GIVEN, STALE_DAYS, PriceRow, Prices
from mlctl.types.change import Change, Plan
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.estimate import Estimate, Rate, Repriced
from mlctl.types.state import Record
from mlctl.types.value import digest

ESTIMATE = "estimate"  # in the provenance of an object: what was foretold of its making, with its prices


def estimates(plan: Plan) -> list[Estimate]:
    """What is foreseen of the steps that a plan would take."""
    return [change.estimate for change in plan if change.effective and change.estimate is not None]


def rates(found: Iterable[Estimate]) -> list[Rate]:
    """The prices that estimates were made with, each once, by device and tier."""
    known = {_place(rate): rate for item in found for rate in item.rates}
    return [known[place] for place in sorted(known)]


def rates_digest(found: Iterable[Rate]) -> str:
    """What the rows that some prices were made of are known by, in whatever order."""
    return digest(
        sorted([*_place(rate)[:4], *([str(rate.devices)] if rate.devices else []), rate.digest] for rate in found)
    )


def check(found: Sequence[Estimate], prices: Prices) -> list[Diagnostic]:
    """Raise MlctlError when an estimate rests on a price that is too old to spend money on. Gives a word on prices that were
    given and nothing asks for."""
    used = rates(found)
    stale = [rate for rate in used if prices.refused(date.fromisoformat(rate.as_of))]
    if stale:
        raise MlctlError([_stale(rate, prices) for rate in stale])
    asked = {(rate.gpu, rate.tier) for rate in used}
    return [
        Diagnostic(
            "prices.not-used",
            f"the price of {row.gpu} ({row.tier}) that was given has no effect",
            "nothing that is about to be made asks for it",
            _meant(row, found) or f"leave `{GIVEN}` out, or correct the device or the tier",
            Severity.WARNING,
        )
        for row in prices.given
        if (row.gpu, row.tier) not in asked
    ]


def _meant(row: PriceRow, found: Sequence[Estimate]) -> str:
    """The price that was likely meant: of the same device, by the tier that something is to run on."""
    tiers = sorted({item.tier or "owned" for item in found if item.device == row.gpu} - {row.tier})
    ways = [f"`{GIVEN} {row.gpu}:{tier}={row.usd:g}`" for tier in tiers]
    what = ", ".join("of ones own" if tier == "owned" else f"({tier})" for tier in tiers)
    return f"what is to be made runs on {row.gpu} {what}: write {' or '.join(ways)}" if ways else ""


def _stale(rate: Rate, prices: Prices) -> Diagnostic:
    age = prices.age(date.fromisoformat(rate.as_of))
    return Diagnostic(
        "prices.stale",
        f"the price of {rate.gpu} ({rate.tier}) is {age} days old: {rate.source}, {rate.as_of}",
        f"an estimate rests on it, and nobody should spend money by a price of more than {STALE_DAYS} days ago",
        f"take a new one into the project's price list, for example by `mlctl cost import`; or give it, `{GIVEN} {rate.gpu}:{rate.tier}=USD`; "
        "or use the old one all the same, with `--allow-stale`",
    )


def stored(plan: Plan, prices: Prices | None) -> dict[str, Any]:
    """What a saved plan keeps of the prices that it was made with: those that the command line gave count when it is applied."""
    used = rates(estimates(plan))
    given = {} if prices is None else {f"{row.gpu}:{row.tier}": row.usd for row in prices.given}
    if not used and not given:
        return {}
    return {"digest": rates_digest(used), "given": given, "allow_stale": prices is not None and prices.allow_stale}


def since(change: Change, record: Record | None, prices: Prices) -> Change:
    """The change with the prices that are not what they were when the object was made: of what is made anew, and of what
    costs for as long as it is there. A price makes nothing anew."""
    if record is None or (change.effective and change.estimate is None):
        return change
    before = made_with(record)
    if before is None or not before.rates or not (change.effective or before.lasting):
        return change
    now = change.estimate.rates if change.estimate is not None else tuple(_now(before, prices))
    found = repriced(before.rates, now)
    return replace(change, repriced=tuple(found)) if found else change


def made_with(record: Record) -> Estimate | None:
    """What was foretold of an object; None where nothing was, or where another mlctl wrote it in another form."""
    stored: Any = record.provenance.get(ESTIMATE)
    try:
        return None if stored is None else Estimate.from_json(stored)
    except (KeyError, TypeError, ValueError, AttributeError):
        return None


def repriced(before: Iterable[Rate], now: Iterable[Rate]) -> list[Repriced]:
    """The prices that two sets have in common and that differ."""
    known = list(now)
    pairs = [(rate, _same(rate, known)) for rate in before]
    return [
        Repriced(was.gpu, was.tier, was.usd, new.usd)
        for was, new in pairs
        if new is not None and was.usd.to_json() | {"basis": ""} != new.usd.to_json() | {"basis": ""}
    ]


def differing(before: Plan, now: Plan) -> Iterator[Diagnostic]:
    """A word on each price that is not what it was when a plan was saved: what the plan does is the same, what it costs is not."""
    for item in repriced(rates(estimates(before)), rates(estimates(now))):
        yield Diagnostic(
            "prices.changed",
            f"prices changed since the plan was saved: {item.words}",
            "what it would take was estimated again, and held against the budget",
            "review it as it is now, above",
            Severity.WARNING,
        )


def _now(before: Estimate, prices: Prices) -> Iterator[Rate]:
    """The same prices by the lists of today."""
    for rate in before.rates:
        tier: Any = rate.tier
        count = rate.devices or before.devices
        price = prices.price(rate.gpu, tier, rate.provider or None, rate.region or None, devices=count)
        if price is not None:
            yield replace(rate, usd=price.usd)


def _same(was: Rate, known: Sequence[Rate]) -> Rate | None:
    """The price of the same among others: for as many devices, where their number has a part in it on both sides."""
    found = [rate for rate in known if _place(rate)[:4] == _place(was)[:4]]
    exact = next((rate for rate in found if rate.devices == was.devices), None)
    return exact or (found[0] if len(found) == 1 else None)


def _place(rate: Rate) -> tuple[str, str, str, str, int]:
    return rate.gpu, rate.tier, rate.provider, rate.region, rate.devices
