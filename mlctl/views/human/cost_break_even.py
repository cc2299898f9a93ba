"""Rent, reserve or buy as text: what an hour is made of, what it costs at which use, from where on buying costs less, and why."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.types.spoken import spoken_dollars
from mlctl.views.human.cost_words import share
from mlctl.views.human.style import Paint
from mlctl.views.human.table import table
from mlctl.views.human.text import safe

TIER_WORDS = {
    "on_demand": "on demand",
    "spot": "spot",
    "reserved_1y": "reserved for a year",
    "reserved_3y": "reserved for 3 years",
    "given": "as given",
}
INPUT_WORDS = {
    "rent": "the rent",
    "capex": "the price of a device",
    "network": "the network",
    "residual": "what is left of the price",
    "years": "the years until it is replaced",
    "kw": "the power it takes",
    "pue": "the power of the room (PUE)",
    "usd_per_kwh": "the price of power",
    "maintenance": "maintenance",
    "fte": "the people",
    "salary": "the salary",
}
_OLD_DAYS = 45


def render(found: Mapping[str, Any], *, color: bool) -> str:
    """All of it."""
    return "\n".join(_lines(found, Paint(color))) + "\n"


def _lines(found: Mapping[str, Any], paint: Paint) -> Iterator[str]:
    yield paint(heading(found), "bold")
    yield ""
    yield from _indented(table(("", "$/hour", "share", "of"), list(terms(found)), right=("$/hour", "share"), color=paint.color))  # fmt: skip
    yield ""
    hourly = found["hourly"]
    yield from _indented(table(("at work", *(share(float(name)) for name in hourly)),
                               [("own, $/hour", *(f"{value:.2f}" for value in hourly.values()))],
                               right=tuple(share(float(name)) for name in hourly), color=paint.color))  # fmt: skip
    yield ""
    rents = [rent_row(item) for item in found["rents"]]
    yield from _indented(table(rent_heads(found), rents, right=("$/hour",), color=paint.color))
    yield from (f"  {text}" for text in remarks(found))
    yield ""
    yield f"  decides: {paint(decides(found), 'bold')}"
    yield ""
    yield from _indented(
        table(("a tenth more of", "buying costs less from", ""), list(moves(found)), color=paint.color)
    )
    yield ""
    yield f"  {paint(safe(verdict(found)), 'bold')}"
    yield "  what was not given is an assumption; each is an option, see `mlctl cost break-even --help`"


def heading(found: Mapping[str, Any]) -> str:
    """What is bought."""
    owned = found["owned"]
    return f"{owned['gpus']} x {safe(found['gpu'])} for {owned['years']:g} years, at work {share(found['utilisation'])} of the time"


def terms(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """What an hour of the year costs, by what it is for, the greatest first."""
    owned, values = found["owned"], found["terms"]
    whole = sum(values.values())
    words = {
        "hardware": f"{spoken_dollars(owned['capex'])} each ({found['basis']['capex']}) and {share(owned['network'])} for the network, "
        f"of which {share(owned['residual'])} is left",
        "power": f"{owned['kw']:g} kW ({found['basis']['kw']}), PUE {owned['pue']:g}, {spoken_dollars(owned['usd_per_kwh'])} a kWh",
        "maintenance": f"{share(owned['maintenance'])} of the price a year",
        "staff": f"{owned['fte']:.2g} people for all, {spoken_dollars(owned['salary'])} a year each",
    }
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        yield name, f"{value:.3f}", share(value / whole) if whole else "-", words[name]
    yield "together", f"{whole:.3f}", "", "paid at work or not"


def rent_heads(found: Mapping[str, Any]) -> tuple[str, ...]:
    """Over the rows of rents."""
    years = f"over {found['months'][-1]['month'] / 12:g} years"
    return (
        "rent",
        "$/hour",
        "buying costs less from",
        f"paid back at {share(found['utilisation'])}",
        "at 100%",
        years,
        "of",
    )


def rent_row(item: Mapping[str, Any]) -> tuple[str, ...]:
    """One of the rents, and when buying costs less."""
    dated = "" if item["as_of"] is None else f"{item['as_of']}{', old' if item['age_days'] > _OLD_DAYS else ''}, "
    months = _months(item["payback_months"]), _months(item["payback_months_full"])
    paid = spoken_dollars(item["usd_in_all"])
    return (
        TIER_WORDS[item["tier"]],
        f"{item['usd']:.2f}",
        from_where(item["break_even"]),
        *months,
        paid,
        dated + ", ".join(item["sources"][:2]),
    )


def from_where(use: float) -> str:
    """The use from which buying costs less; more than all hours is never."""
    return share(use) if use <= 1 else f"never ({share(use)})"


def _months(value: float | None) -> str:
    return "never" if value is None else f"{value:.0f} months"


def remarks(found: Mapping[str, Any]) -> Iterator[str]:
    """What the figures take for granted."""
    whole = sum(found["terms"].values())
    for item in found["rents"]:
        if item["all_hours"]:
            less = item["usd"] - whole
            words = f"{spoken_dollars(abs(less))} an hour {'less' if less > 0 else 'more'}"
            name = TIER_WORDS[item["tier"]]
            yield f"{name}: paid at all hours, so that as many own ones cost {words} at any use; the share"
            yield "  and the months hold where no more is reserved than is used"
        elif not item["stays"]:
            yield "spot: without what is done twice, and without the waiting for devices"
    if any(_sold(item, use) for item in found["rents"] for use in (found["utilisation"], 1.0)):
        yield "paid back never, where buying costs less all the same: only by what the devices are sold for in the end,"
        yield "  which the months do not count"


def _sold(item: Mapping[str, Any], use: float) -> bool:
    """Whether buying costs less at that use, and is not paid back before the devices are replaced."""
    return item["break_even"] <= use and item["payback_months_full" if use == 1 else "payback_months"] is None


def decides(found: Mapping[str, Any]) -> str:
    """The term that hangs most on, and what it would do."""
    name, values = found["decides"], found["terms"]
    first = found["rents"][0]
    whole = sum(values.values())
    after = (whole + 0.1 * values[name]) / first["usd"]
    part = share(values[name] / whole) if whole else "0%"
    was, then = share(first["break_even"]), share(after)
    return (
        f"{name}, {part} of an hour: a tenth more of it moves the use from which buying costs less from {was} to {then}"
    )


def moves(found: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Each input a tenth higher, with what it moves."""
    for item in found["sensitivity"]:
        yield INPUT_WORDS[item["name"]], from_where(item["break_even"]), f"{item['moved'] * 100:+.1f} points"


def verdict(found: Mapping[str, Any]) -> str:
    """Which way costs least over the time that is looked at."""
    asked, *_ = found["rents"]  # what is decided against counts whatever it is
    ways = {f"renting {TIER_WORDS[item['tier']]}": item["usd_in_all"] for item in found["rents"] if item["stays"] or item is asked}  # fmt: skip
    (first, least), *others = sorted({"buying": found["own_in_all"], **ways}.items(), key=lambda item: item[1])
    told = f"{_over(found)} {first} costs least: {spoken_dollars(least)}"
    told += "".join(f"; {name} {spoken_dollars(value)}" for name, value in others)
    less = [item for item in found["rents"] if not item["stays"] and item["usd_in_all"] < least]
    return told + "".join(f"; spot {spoken_dollars(item['usd_in_all'])} before what is lost" for item in less)


def _over(found: Mapping[str, Any]) -> str:
    years = found["months"][-1]["month"] / 12
    return f"over {years:g} year{'' if years == 1 else 's'}"


def _indented(text: str) -> Iterator[str]:
    return (f"  {line}" for line in text.splitlines())
