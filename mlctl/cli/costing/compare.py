"""mlctl cost compare: what the project's trainings and deployments would take on everything that has a price."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlctl.cli.costing.estimate import Addresses, Rows
from mlctl.cli.options import AsJson, addresses, emit_json, seconds_of
from mlctl.cli.pricing import AllowStale, Price, priced
from mlctl.cli.project import in_project
from mlctl.cli.telling import tell
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity, did_you_mean
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found
    from mlctl.estimate.comparing import Comparison
    from mlctl.estimate.options import Option
    from mlctl.estimate.prices import PriceRow
    from mlctl.estimate.sizing import Judged

HELP = (
    "What each training and deployment would take on everything that has a price: GPU types, numbers of them, providers and tiers, "
    "the cheapest first, with the reason for each that will not do. Spot prices count the work that is done twice. Exit 1 when nothing "
    "that has a price will do.\n\n"
    "Examples:\n\n  mlctl cost compare\n\n  mlctl cost compare training.assistant --gpus 1,4,8 --deadline 6h\n\n"
    "  mlctl cost compare --tier spot --provider Vast --html compare.html\n\n  mlctl cost compare --rows visits=2000000 --json"
)
COUNTS = "1,2,4,8"
Counts = Annotated[str, typer.Option("--gpus", metavar="N,...", help="How many devices of a kind.")]
Names = Annotated[
    list[str] | None, typer.Option("--gpu", metavar="NAME", help="Only this kind of device; may be given again.")
]
Providers = Annotated[
    list[str] | None, typer.Option("--provider", metavar="P", help="Only of this one; may be given again.")
]
Tiers = Annotated[
    list[str] | None,
    typer.Option("--tier", metavar="T", help="on_demand, spot, reserved_1y, reserved_3y or owned; may be given again."),
]


@in_project
def compare(
    workspace: Workspace,
    address: Addresses = None,
    gpus: Counts = COUNTS,
    gpu: Names = None,
    provider: Providers = None,
    tier: Tiers = None,
    region: Annotated[str | None, typer.Option("--region", metavar="R", help="Only prices of this region.")] = None,
    deadline: Annotated[
        str | None, typer.Option("--deadline", metavar="DURATION", help="Until when, such as 6h.")
    ] = None,
    rows: Rows = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    every: Annotated[bool, typer.Option("--all", help="Every line, not only the cheapest.")] = False,
    html: Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with a plot.")] = None,
    as_json: AsJson = False,
) -> int:
    """Print the tables."""
    from mlctl.cli.benchmarking import writable
    from mlctl.cli.costing.workloads import assumed_rows, workloads

    if html is not None:
        writable(html)
    priced(workspace, price, allow_stale=allow_stale)
    until = None if deadline is None else seconds_of(deadline, "--deadline")
    offered = offers(workspace, gpus, gpu or (), provider or (), tier or (), region)
    found = workloads(workspace, addresses(address), assumed_rows(workspace, rows))
    counted = asked(workspace, gpu or (), provider or (), tier or (), region)
    tell_prices(workspace, counted, as_json=as_json)
    told = compare_all(workspace, found, offered, until, every=every, html=html, as_json=as_json)
    return ExitCode.OK if all(item.rows for item in told) else ExitCode.ERROR


def compare_all(
    workspace: Workspace,
    found: Sequence[Found],
    offered: Sequence[Option],
    deadline: float | None = None,
    *,
    every: bool = False,
    html: Path | None = None,
    as_json: bool = False,
) -> list[Comparison]:
    """Compare and show. Raises MlctlError where nothing can be compared."""
    from mlctl.estimate.comparing import compare as compared
    from mlctl.estimate.sizing import Wish

    movable = [item.workload for item in found if item.workload is not None]
    if not movable:
        raise nothing(found)
    today = workspace.prices.today
    if deadline is not None and all(item.lasting for item in movable):
        why = "what is compared are deployments, which never end"
        raise MlctlError.of("cli.usage", "`--deadline` has no effect", why, "leave it out")
    told = [compared(item, offered, Wish(deadline=None if item.lasting else deadline), today=today) for item in movable]
    if html is not None:
        from mlctl.files import atomic
        from mlctl.views.html import cost_compare as page

        atomic.write_bytes(html, page.render(workspace.project.name, told).encode())
    if as_json:
        emit(told)
        return told
    import sys

    from mlctl.views.human import cost_compare
    from mlctl.views.human.style import wants_color

    sys.stdout.write(cost_compare.render(told, every=every, color=wants_color(sys.stdout)))
    tell_left_out(found)
    return told


def offers(
    workspace: Workspace,
    gpus: str = COUNTS,
    names: Sequence[str] = (),
    providers: Sequence[str] = (),
    tiers: Sequence[str] = (),
    region: str | None = None,
) -> list[Option]:
    """What is to be compared. Raises MlctlError for a name that no price has, and where nothing has a price."""
    from mlctl.estimate import options
    from mlctl.estimate.prices import TIERS

    known = [
        row for row in asked(workspace, names, providers, tiers, region) if not workspace.prices.refused(row.as_of)
    ]
    found = list(options.options(known, counts=counts_of(gpus), tiers=TIERS))
    if not found:
        raise MlctlError.of(
            "cost.no-price",
            "nothing that was asked for has a price",
            f"of {len(workspace.prices.rows)} prices none is of this device, tier, provider and region together, and not too old",
            "leave one of the options out; or give a price, `--price H100=2.10`; or use old ones, with `--allow-stale`",
        )
    return found


def asked(
    workspace: Workspace,
    names: Sequence[str] = (),
    providers: Sequence[str] = (),
    tiers: Sequence[str] = (),
    region: str | None = None,
) -> list[PriceRow]:
    """The prices that the options of a command leave. Raises MlctlError for a name that none has."""
    from mlctl.estimate import options
    from mlctl.estimate.devices import NAMED
    from mlctl.estimate.prices import TIERS, gpu_name

    rows = [row for row in workspace.prices.rows if row.gpu in NAMED]
    devices = [gpu_name(name) or name for name in names]
    known_name("--gpu", devices, {row.gpu for row in rows})
    known_name("--tier", tiers, set(TIERS))
    known_name("--provider", providers, {row.provider for row in rows})
    known_name("--region", [region] if region is not None else [], {row.region for row in rows if row.region})
    chosen = tiers or options.TIERS
    return [
        row
        for row in rows
        if (not devices or row.gpu in devices)
        and (not providers or row.provider in providers)
        and row.tier in chosen
        and region in (None, row.region)
    ]


def counts_of(text: str) -> list[int]:
    """Numbers of devices, from `1,2,4`. Raises MlctlError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 1 <= int(part) <= 100_000 for part in parts):
        raise MlctlError.of("cli.usage", f"`--gpus {text}` is no list of numbers", "", "for example `--gpus 1,2,4,8`")
    return sorted({int(part) for part in parts})


def known_name(option: str, given: Sequence[str], known: set[str]) -> None:
    """Raise MlctlError for a name that is not known."""
    for name in given:
        if name not in known:
            fix = did_you_mean(name, sorted(known))
            raise MlctlError.of("cli.unknown-name", f"`{option} {name}` is not known", "no price is of it", fix)


def nothing(found: Sequence[Found]) -> MlctlError:
    """The error where nothing can be moved."""
    told = [f"{item.address}: {item.why or 'what it asks of devices is not known'}" for item in found]
    why = "; ".join(told) or "it has no training and no deployment of a language model"
    fix = "say how much there is to learn from with `--rows DATASET=N`, or make what it learns from"
    return MlctlError.of("cost.nothing-to-compare", "nothing in this project can be compared", why, fix)


def tell_prices(workspace: Workspace, rows: Sequence[PriceRow], *, as_json: bool) -> None:
    """What is to be said of the prices that were asked for, once all has been looked up."""
    tell_stale(workspace, rows, as_json=as_json)
    tell_unused(workspace, rows, as_json=as_json)


def tell_stale(workspace: Workspace, rows: Sequence[PriceRow], *, as_json: bool) -> None:
    """A word on those prices of them that are too old to be counted."""
    from mlctl.estimate.prices import STALE_DAYS

    old = [row for row in rows if workspace.prices.refused(row.as_of)]
    if old:
        which = ", ".join(sorted({f"{row.gpu} ({row.tier})" for row in old}))
        why = f"they are older than {STALE_DAYS} days, and nobody should spend money by them: {which}"
        fix = "take new ones into a price list, for example by `mlctl cost import`, or use them all the same, with `--allow-stale`"
        count = f"{len(old)} price{'' if len(old) == 1 else 's'} {'is' if len(old) == 1 else 'are'} left out"
        tell([Diagnostic("prices.stale", count, why, fix, Severity.WARNING)], as_json=as_json)


def tell_unused(workspace: Workspace, rows: Sequence[PriceRow], *, as_json: bool) -> None:
    """A word on given prices that were neither among those that were asked for, nor the price of anything that there is."""
    from mlctl.estimate.prices import GIVEN

    told = []
    used = [row for price in workspace.prices.used.values() for row in price.rows]
    for row in workspace.prices.given:
        if row not in rows and row not in used:
            unused = f"the price of {row.gpu} ({row.tier}) that was given has no effect"
            fix = f"leave `{GIVEN}` out, or ask for `--tier {row.tier}`"
            told.append(Diagnostic("prices.not-used", unused, "it is not compared", fix, Severity.WARNING))
    tell(told, as_json=as_json)


def tell_left_out(found: Sequence[Found]) -> None:
    """A word on each resource of which too little is known."""
    for item in found:
        if item.workload is None:
            why = item.why or "it can only run where it is"
            print(f"\n{item.address} is not compared: {why}")


def emit(found: Sequence[Comparison]) -> None:
    """A line of JSON for each option of each workload, in the order of the table, and then those that will not do."""
    from mlctl.views.json.cost_sizing import option_json

    def event(address: str, judged: Judged) -> dict[str, Any]:
        return {"type": "cost_option", "address": address, **option_json(judged)}

    for item in found:
        for row in item.rows:
            emit_json({**event(item.workload.address, row.judged), "best": row.best, "now": row.here})
        for judged in item.others:
            emit_json({**event(item.workload.address, judged), "best": False, "now": False})
