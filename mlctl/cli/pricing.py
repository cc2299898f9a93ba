"""The options by which a command is told what devices cost, and what it says of prices that are old or without effect."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from typing import Annotated, Any

import typer

from mlctl.cli.telling import tell
from mlctl.engine.priced import check, estimates, stored
from mlctl.engine.saved.file import SavedPlan
from mlctl.estimate.prices import DEAREST, GIVEN, MACHINE, TIERS, PriceRow, Prices, Pricing, gpu_name, gpu_names
from mlctl.spec import price_files
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.estimate import Estimate
from mlctl.workspace import Workspace

Price = Annotated[
    list[str] | None,
    typer.Option(
        "--price",
        metavar="GPU[:TIER]=USD",
        help="What a device costs by the hour, such as H100=2.1 or H100:spot=1.4, in place of all lists; may be given again.",
    ),
]
AllowStale = Annotated[bool, typer.Option("--allow-stale", help="Use prices that are older than 180 days.")]


def priced(workspace: Workspace, price: Sequence[str] | None, *, allow_stale: bool) -> None:
    """Let the prices of a command line count, before the workspace is asked for any. Raises MlctlError for what is no price."""
    workspace.pricing = Pricing(given(price or ()), allow_stale)


def given(texts: Sequence[str]) -> tuple[PriceRow, ...]:
    """Prices as they are given: `H100=2.1` is that of the tier on demand, `H100:spot=1.4` of another. Raises MlctlError."""
    rows: dict[tuple[str, str], PriceRow] = {}
    for text in texts:
        row = _row(text)
        if (row.gpu, row.tier) in rows:
            raise _usage(
                f"`{GIVEN} {text}`: {row.gpu} ({row.tier}) has a price already",
                "only one of the two could count",
                "leave one out",
            )
        rows[row.gpu, row.tier] = row
    return tuple(rows.values())


def _row(text: str) -> PriceRow:
    device, equals, amount = text.partition("=")
    name, colon, tier = device.partition(":")
    if not equals or not name:
        raise _usage(
            f"`{GIVEN} {text}` is not GPU=USD", "", f"for example `{GIVEN} H100=2.1` or `{GIVEN} H100:spot=1.4`"
        )
    gpu = gpu_name(name)
    if gpu is None:
        raise _usage(f"`{GIVEN} {text}`: `{name}` is no device that mlctl knows", "", did_you_mean(name, gpu_names()))
    if not colon:
        tier = "owned" if gpu == MACHINE else "on_demand"
    if tier not in TIERS:
        raise _usage(f"`{GIVEN} {text}`: `{tier}` is no tier", "", did_you_mean(tier, TIERS))
    try:
        usd = float(amount)
    except ValueError:
        usd = math.nan
    if not 0 < usd <= DEAREST:
        raise _usage(
            f"`{GIVEN} {text}`: `{amount}` is no price",
            f"it is dollars for one device and hour, {DEAREST:,} at most",
            f"for example `{GIVEN} {device}=2.1`",
        )
    known: Any = tier
    return PriceRow(gpu, "given", known, usd, price_files.day(), GIVEN)


def of_saved(saved: SavedPlan, pricing: Pricing) -> Pricing:
    """The prices that count when a saved plan is applied: those that it was given, on its day, and those given now, which win."""
    try:
        day = date.fromisoformat(saved.at[:10])
    except ValueError:  # whoever wrote it knows no day, and prices without one are as old as can be
        day = date.min
    kept = [
        replace(row, as_of=day)
        for row in given([f"{name}={usd!r}" for name, usd in saved.prices.get("given", {}).items()])
    ]
    rows = {(row.gpu, row.tier): row for row in (*kept, *pricing.rows)}
    return Pricing(tuple(rows.values()), pricing.allow_stale or bool(saved.prices.get("allow_stale", False)))


def keeping(saved: SavedPlan, pricing: Pricing) -> SavedPlan:
    """A saved plan with the prices that count for it now: whoever carries its run on reads them from nowhere else."""
    prices = Prices((), pricing.rows, allow_stale=pricing.allow_stale)
    return replace(saved, prices=stored(saved.plan, prices))


def show_prices(plan: Plan, prices: Prices, *, as_json: bool) -> None:
    """What is to be said of the prices that a plan was made with. Raises MlctlError for those that are too old."""
    show_prices_of(estimates(plan), prices, as_json=as_json)


def show_prices_of(found: Sequence[Estimate], prices: Prices, *, as_json: bool) -> None:
    """The same of estimates that are no plan's."""
    tell(check(found, prices), as_json=as_json)


def repeated(price: list[str] | None, allow_stale: bool) -> dict[str, list[str] | bool]:
    """The same options for a command that is to be run once more."""
    return {GIVEN: price or [], "--allow-stale": allow_stale}


def _usage(summary: str, why: str, fix: str) -> MlctlError:
    return MlctlError.of("cli.usage", summary, why, fix)
