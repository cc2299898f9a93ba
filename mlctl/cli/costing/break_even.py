"""mlctl cost break-even: rent, reserve or buy accelerators. Needs no project."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlctl.cli.options import AsJson, emit_json, one_of
from mlctl.cli.pricing import AllowStale, Price, priced
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.units import parse_share
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.estimate.ownership import Owned
    from mlctl.estimate.prices import Prices

HELP = (
    "Rent, reserve or buy: what an hour of an own accelerator costs at which use, from how much use on it costs less than a rented "
    "one, after how many months it is paid back, and which term decides. Needs no project; each assumption is an option.\n\n"
    "Examples:\n\n  mlctl cost break-even\n\n  mlctl cost break-even --gpus 64 --utilisation 55% --html buy.html\n\n"
    "  mlctl cost break-even --gpu B200 --capex 55000 --kw 1.8 --rent 5.20\n\n  mlctl cost break-even --fte 0 --price H100=2.10 --json"
)
CAPEX = {"H100": (37_500.0, "a server of 8 at $300,000")}  # dollars of one, with its part of a server
KW = {"H100": (1.275, "a server of 8 takes 10.2 kW at most")}
LONGEST = 50.0  # years that can be looked at
UTILISATIONS = (1.0, 0.85, 0.7, 0.55, 0.4, 0.25)


def _number(option: str, text: str, least: float = 0.0, most: float = 1e9) -> Any:
    """An option that takes dollars, kilowatts and the like."""
    return typer.Option(option, min=least, max=most, help=text)


def _part(option: str, text: str) -> Any:
    """An option that takes a share."""
    return typer.Option(option, metavar="SHARE", help=text)


Gpus = Annotated[int, typer.Option("--gpus", min=1, max=1_000_000, help="How many.")]
Gpu = Annotated[str, typer.Option("--gpu", metavar="NAME", help="Which.")]
Utilisation = Annotated[str, _part("--utilisation", "Of all hours, those at work.")]
Tier = Annotated[str | None, typer.Option("--tier", metavar="T", help="The rent that is decided against: on_demand.")]
Rent = Annotated[float | None, _number("--rent", "That rent in dollars an hour, in place of the price lists.")]
Capex = Annotated[float | None, _number("--capex", "Dollars of one with its part of a server; known of an H100.")]
Network = Annotated[str, _part("--network", "Switches and cables, on top of it.")]
Residual = Annotated[str, _part("--residual", "What is left of the price then.")]
Years = Annotated[float, _number("--years", "Until it is replaced.", 0.1, LONGEST)]
Horizon = Annotated[
    float | None, _number("--horizon", "Years to look at; it is bought again when replaced.", 0.1, LONGEST)
]
Kilowatts = Annotated[float | None, _number("--kw", "Kilowatts of one with its part of a server; known of an H100.")]
Pue = Annotated[float, _number("--pue", "Power of the room for each kilowatt of servers.", 1.0)]
UsdPerKwh = Annotated[float, _number("--usd-per-kwh", "Dollars of a kilowatt-hour.")]
Maintenance = Annotated[str, _part("--maintenance", "Of the price, each year.")]
Fte = Annotated[
    float | None,
    _number("--fte", "People for all of them; when not given 0.05 each, 0.25 at most, and from 50 on 0.005 each."),
]
Salary = Annotated[float, _number("--salary", "Dollars of one person, a year.")]


@in_project
def break_even(
    workspace: Workspace,
    gpus: Gpus = 8,
    gpu: Gpu = "H100",
    utilisation: Utilisation = "70%",
    tier: Tier = None,
    rent: Rent = None,
    capex: Capex = None,
    network: Network = "15%",
    residual: Residual = "15%",
    years: Years = 4.0,
    horizon: Horizon = None,
    kw: Kilowatts = None,
    pue: Pue = 1.3,
    usd_per_kwh: UsdPerKwh = 0.10,
    maintenance: Maintenance = "5%",
    fte: Fte = None,
    salary: Salary = 200_000.0,
    price: Price = None,
    allow_stale: AllowStale = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with plots.")] = None,
    as_json: AsJson = False,
) -> int:
    """Compute and show."""
    from mlctl.cli.benchmarking import writable

    if html is not None:
        writable(html)
    for option, given in {"--tier": tier, "--price": price, "--allow-stale": allow_stale}.items():
        one_of({"--rent": rent is not None, option: given})
    priced(workspace, price, allow_stale=allow_stale)
    name, used = _device(gpu), _share("utilisation", utilisation)
    if used == 0:
        raise MlctlError.of("cli.usage", "`--utilisation 0` leaves nothing to compare", "nothing is at work then", "")
    bought = _known(name, capex, CAPEX, "--capex", "price")
    drawn = _known(name, kw, KW, "--kw", "power")
    owned = _owned(
        {"network": network, "residual": residual, "maintenance": maintenance},
        gpus=gpus, capex=bought[0], years=years, kw=drawn[0], pue=pue, usd_per_kwh=usd_per_kwh, fte=fte, salary=salary,
    )  # fmt: skip
    rents = _rents(name, gpus, tier or "on_demand", rent, None if rent is not None else _prices(workspace))
    _show(
        report(owned, name, used, rents, horizon or years, {"capex": bought[1], "kw": drawn[1]}), html, as_json=as_json
    )
    return ExitCode.OK


def _owned(shares: Mapping[str, str], **figures: Any) -> Owned:
    """The devices that would be bought. Raises MlctlError for figures that do not go together."""
    from mlctl.estimate.ownership import Owned

    parts: dict[str, Any] = {option: _share(option, text) for option, text in shares.items()}
    try:
        return Owned(**figures, **parts)
    except ValueError as error:
        raise MlctlError.of("cli.usage", "these figures do not go together", str(error), "correct them") from None


def _show(found: dict[str, Any], html: Path | None, *, as_json: bool) -> None:
    import sys

    from mlctl.views.human import cost_break_even
    from mlctl.views.human.style import wants_color

    if html is not None:
        from mlctl.files import atomic
        from mlctl.views.html import cost_break_even as page

        atomic.write_bytes(html, page.render(found).encode())
    if as_json:
        emit_json({"type": "cost_break_even", **found})
    else:
        sys.stdout.write(cost_break_even.render(found, color=wants_color(sys.stdout)))


def report(
    owned: Owned,
    gpu: str,
    used: float,
    rents: Mapping[str, Mapping[str, Any]],
    horizon: float,
    basis: Mapping[str, str],
) -> dict[str, Any]:
    """All that is shown. The first of the rents is the one that is decided against."""
    from mlctl.estimate import ownership as own

    first = next(iter(rents.values()))["usd"]
    months = max(1, round(horizon * 12))
    points = own.over_months(owned, first, used, months)
    return {
        "gpu": gpu,
        "owned": {**asdict(owned), "fte": owned.people, "price": owned.price},
        "basis": dict(basis),
        "utilisation": used,
        "terms": {name: round(value, 6) for name, value in owned.terms().items()},
        "hourly": {
            f"{share:g}": round(owned.hourly(share), 6) for share in sorted({*UTILISATIONS, used}, reverse=True)
        },
        "rents": [
            {
                "tier": name,
                **rent,
                **_paid(owned, name, rent["usd"], used, months),
                "break_even": round(own.break_even(owned, rent["usd"]), 6),
                "payback_months": _rounded(own.payback_months(owned, rent["usd"], used)),
                "payback_months_full": _rounded(own.payback_months(owned, rent["usd"], 1.0)),
            }
            for name, rent in rents.items()
        ],
        "decides": own.deciding(owned),
        "sensitivity": [
            {"name": item.name, "break_even": round(item.break_even, 6), "moved": round(item.moved, 6)}
            for item in own.sensitivity(owned, first)
        ],
        "months": [{"month": item.month, "own": round(item.own, 2), "rent": round(item.rent, 2)} for item in points],
        "own_in_all": round(owned.hourly() * own.MONTH * months * owned.gpus, 2),  # with what it lost of its price
    }


def _paid(owned: Owned, tier: str, usd: float, used: float, months: int) -> dict[str, Any]:
    """What a rent comes to: one that is reserved is paid whether it is used or not."""
    from mlctl.estimate.ownership import MONTH

    all_hours = tier.startswith("reserved")
    monthly = MONTH * usd * owned.gpus * (1.0 if all_hours else used)
    return {
        "all_hours": all_hours,
        "stays": tier != "spot",
        "monthly": round(monthly, 2),
        "usd_in_all": round(monthly * months, 2),
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 3)


def _device(text: str) -> str:
    from mlctl.estimate.prices import gpu_name, gpu_names
    from mlctl.types.diagnostic import did_you_mean

    name = gpu_name(text)
    if name is None:
        raise MlctlError.of("cli.unknown-name", f"`--gpu {text}` is no device that mlctl knows", "", did_you_mean(text, gpu_names()))  # fmt: skip
    return name


def _share(option: str, text: str) -> float:
    try:
        return parse_share(text if text.strip().endswith("%") else float(text))
    except ValueError:
        raise MlctlError.of("cli.usage", f"`--{option} {text}` is not a share", "", f"write `--{option} 15%`") from None


def _known(
    gpu: str, given: float | None, known: Mapping[str, tuple[float, str]], option: str, what: str
) -> tuple[float, str]:
    """What was given, or what is known of the device, with where it comes from."""
    if given is not None:
        return given, "given"
    if gpu not in known:
        from mlctl.estimate.devices import NAMED

        why = f"it is known of {', '.join(known)} alone"
        if known is KW and gpu in NAMED:
            why += f"; the device itself takes {NAMED[gpu].watts / 1000:g} kW at most, by its maker's sheet"
        raise MlctlError.of("cost.unknown-term", f"the {what} of a {gpu} with its part of a server is not known", why, f"give it with `{option}`")  # fmt: skip
    return known[gpu]


def _prices(workspace: Workspace) -> Prices:
    """The prices of the project that is here, or else those of whoever runs the command."""
    if workspace.main.exists():
        return workspace.prices
    from mlctl.estimate.prices import Prices
    from mlctl.spec import price_files

    pricing = workspace.pricing
    return Prices(
        price_files.lists(workspace.root, {}), pricing.rows, today=price_files.day(), allow_stale=pricing.allow_stale
    )


def _rents(gpu: str, gpus: int, tier: str, rent: float | None, prices: Prices | None) -> dict[str, dict[str, Any]]:
    """What it is held against: what was given, or every tier that has a price, the one asked for first."""
    from mlctl.cli.costing.compare import known_name
    from mlctl.estimate.prices import TIERS

    offered = [name for name in TIERS if name != "owned"]
    known_name("--tier", [tier], set(offered))
    if prices is None:
        if not rent:
            raise MlctlError.of("cli.usage", "`--rent 0` leaves nothing to compare", "", "give what an hour costs")
        return {"given": {"usd": rent, "low": rent, "high": rent, "as_of": None, "sources": ["--rent"], "age_days": 0}}
    for row in prices.given:
        if row.gpu != gpu or row.tier not in offered:
            why = f"the question is about {gpu}"
            raise MlctlError.of(
                "cli.usage", f"the price of {row.gpu} ({row.tier}) has no effect", why, "leave `--price` out"
            )
    found: dict[str, dict[str, Any]] = {}
    for name in sorted(offered, key=lambda item: item != tier):
        price = prices.price(gpu, name, devices=gpus)
        if price is None:
            continue
        if name == tier and prices.refused(price.as_of):
            raise _stale(gpu, name, prices.age(price.as_of))
        found[name] = {
            "usd": price.usd.mid, "low": price.usd.low, "high": price.usd.high, "as_of": price.as_of.isoformat(),
            "sources": sorted({row.source for row in price.rows}), "age_days": prices.age(price.as_of),
        }  # fmt: skip
    if tier not in found:
        why = f"there is one for {', '.join(found)}" if found else "no price list has any"
        raise MlctlError.of("cost.no-price", f"there is no price of {gpu} ({tier})", why, f"give it: `--rent USD`, or `--price {gpu}:{tier}=USD`")  # fmt: skip
    return {name: item for name, item in found.items() if name == tier or not _old(item, prices)}


def _old(item: Mapping[str, Any], prices: Prices) -> bool:
    from datetime import date

    return prices.refused(date.fromisoformat(item["as_of"]))


def _stale(gpu: str, tier: str, age: int) -> MlctlError:
    fix = f"give a new one, `--price {gpu}:{tier}=USD`, or use it all the same, with `--allow-stale`"
    return MlctlError([Diagnostic("prices.stale", f"the price of {gpu} ({tier}) is {age} days old", "a decision of years would rest on it", fix)])  # fmt: skip
