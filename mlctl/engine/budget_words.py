"""What a budget says to people: what costs most, and what would help."""

from __future__ import annotations

from collections.abc import Sequence

from mlctl.engine.budget_lines import Line
from mlctl.estimate.prices import Prices
from mlctl.types.estimate import Estimate, Range
from mlctl.types.spoken import spoken_dollars, spoken_seconds

UNKNOWN = "gpu"  # the name of devices of which nothing is known but their number
_SHOWN = 5
_CHEAPER = 3
Told = tuple[str, str]  # what is wrong, and why


def one_costs(line: Line, most: float) -> Told:
    """Of one thing that is made, against `max_usd_per_run`."""
    usd = line.estimate.usd or Range.exactly(0.0)
    return f"{line.address} {_costs(usd, most)}; one run may cost {spoken_dollars(most)}", _made(line)


def one_takes(line: Line, most: float) -> Told:
    """Of one thing that is made, against `max_hours`."""
    seconds = line.estimate.seconds or Range.exactly(0.0)
    low, mid, high = (spoken_seconds(value) for value in (seconds.low, seconds.mid, seconds.high))
    sure = seconds.mid > most * 3600
    took = (
        f"is likely to take {mid} ({low} to {high})" if sure else f"may take up to {high}, and is likely to take {mid}"
    )
    return f"{line.address} {took}; one run may take {spoken_seconds(most * 3600)}", _made(line)


def all_cost(lines: Sequence[Line], usd: Range, most: float) -> Told:
    """Of all that a plan makes, against `max_usd`."""
    return f"all of this plan {_costs(usd, most)}; it may cost {spoken_dollars(most)}", _listed(lines)


def months_cost(lines: Sequence[Line], usd: Range, most: float) -> Told:
    """Of all that lasts, against `max_usd_per_month`."""
    return f"a month of what lasts {_costs(usd, most)}; it may cost {spoken_dollars(most)}", _listed(lines)


def no_price(line: Line) -> Told:
    """Of what is rented at an unknown price."""
    name = f"{line.estimate.device} ({line.estimate.tier})"
    return (
        f"{line.address}: no price is known for {name}",
        "the budget is in dollars, and a cost that is not known is not 0",
    )


def not_known(line: Line) -> Told:
    """Of what takes a time that nobody can tell yet."""
    because = "; ".join(note for note in line.estimate.notes if "known" in note)
    return f"what {line.address} will take is not known yet", because or "too little is known of it"


def caution(code: str, lines: Sequence[Line]) -> str:
    """What happens to lines that are let through although they may go beyond a budget."""
    ended = [
        f"{line.address} after {spoken_seconds(line.estimate.limit.seconds)}" for line in lines if line.estimate.limit
    ]
    looked = "it is looked at again before it begins" if code == "budget.not-known" else ""
    bound = f"the budget ends {_together(ended)}" if ended else ""
    return ", and ".join(filter(None, [looked, bound])) or "see what takes the most with `mlctl cost estimate`"


def fix(code: str, by: str, lines: Sequence[Line], prices: Prices) -> str:
    """What would help, the dearest line first."""
    if code == "budget.no-price":
        estimate = lines[0].estimate
        if estimate.device == UNKNOWN:
            return "use devices that mlctl knows by name: only they can have a price"
        name = f"{estimate.device}:{estimate.tier}"
        return f"give one: `--price {name}=USD`, for an hour of one device, or a row of the file under `prices`"
    if by == "max_hours":
        tools = "`mlctl cost size` finds devices that are fast enough, `mlctl cost advise` what else saves time"
        return "\n".join(["more or faster devices, or less to do", tools, f"or raise `budget.{by}`"])
    helps = [text for line in lines[:1] for text in _cheaper(line, prices)]
    tools = "`mlctl cost size` finds the devices that do it at the least cost, `mlctl cost advise` what else saves"
    return "\n".join([*helps, tools, f"or raise `budget.{by}`"])


def _cheaper(line: Line, prices: Prices) -> list[str]:
    """The same device at another tier, and other devices at the same one, by prices that are not too old to go by."""
    estimate, found = line.estimate, []
    known: dict[tuple[str, str], float] = {
        (row.gpu, row.tier): price.usd.mid
        for row in prices.rows
        if (price := prices.price(row.gpu, row.tier)) and not prices.refused(price.as_of)
    }
    paid = next((rate.usd.mid for rate in estimate.rates if rate.tier == estimate.tier), None)  # of its own provider
    own, spot = paid or known.get((estimate.device, str(estimate.tier))), known.get((estimate.device, "spot"))
    if own is None or estimate.tier == "owned":
        return []
    if estimate.tier == "on_demand" and spot is not None and spot < own and not estimate.lasting:
        less = "" if estimate.usd is None else f", about {spoken_dollars(estimate.usd.mid * spot / own)} in all"
        wasted = f"{less} before what interruptions waste" if less else ""
        found.append(f"spot machines for {line.address}: {_each(estimate.device, spot)}{wasted}")
    others = {gpu: usd for (gpu, tier), usd in known.items() if tier == estimate.tier and usd < own}
    elsewhere = others.pop(estimate.device, None)
    if elsewhere is not None:  # its executor names a cloud
        found.append(f"the same devices of other providers: {_each(estimate.device, elsewhere)}")
    if others:
        nearest = sorted(others, key=lambda gpu: (-others[gpu], gpu))[:_CHEAPER]
        listed = ", ".join(_each(gpu, others[gpu]) for gpu in nearest)
        found.append(f"cheaper by the hour than {_each(estimate.device, own)}: {listed}")
    return found


def _each(device: str, usd: float) -> str:
    return f"{device} {spoken_dollars(usd)}"


def _listed(lines: Sequence[Line]) -> str:
    more = f"\nand {len(lines) - _SHOWN} more" if len(lines) > _SHOWN else ""
    return "\n".join(map(_made, lines[:_SHOWN])) + more


def _made(line: Line) -> str:
    """`training.big: about $380 ($215 to $972): 29 h on 8 H100 at $29.12 an hour`."""
    estimate = line.estimate
    hourly = "" if estimate.hourly is None else f" at {spoken_dollars(estimate.hourly.mid)} an hour"
    where = f"on {_devices(estimate)}{hourly}"
    if estimate.lasting:
        return f"{line.address}: {where}{', there already' if line.there else ''}"
    cost = "" if estimate.usd is None else f"{_about(estimate.usd)}: "
    took = "" if estimate.seconds is None else f"{spoken_seconds(estimate.seconds.mid)} "
    return f"{line.address}: {cost}{took}{where}"


def _devices(estimate: Estimate) -> str:
    return f"{estimate.devices} {estimate.device}"


def _costs(usd: Range, most: float) -> str:
    if usd.mid > most:
        return f"is likely to cost {_about(usd).removeprefix('about ')}"
    return f"may cost up to {spoken_dollars(usd.high)}, and is likely to cost {spoken_dollars(usd.mid)}"


def _about(usd: Range) -> str:
    spread = "" if usd.low == usd.high else f" ({spoken_dollars(usd.low)} to {spoken_dollars(usd.high)})"
    return f"about {spoken_dollars(usd.mid)}{spread}"


def _together(words: Sequence[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"
