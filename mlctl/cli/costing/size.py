"""mlctl cost size: the devices that cost least of all that will do, and why each other does not."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from mlctl.cli.costing.compare import Counts, Names, Providers, Tiers
from mlctl.cli.costing.estimate import Addresses, Rows
from mlctl.cli.options import AsJson, AutoApprove, addresses, emit_json, seconds_of
from mlctl.cli.pricing import AllowStale, Price, priced
from mlctl.cli.project import in_project
from mlctl.cli.telling import tell
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, Severity
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.cli.costing.workloads import Found
    from mlctl.cli.patching import Patched
    from mlctl.estimate.options import Option
    from mlctl.estimate.prices import Tier
    from mlctl.estimate.sizing import Sizing, Wish

HELP = (
    "The devices that cost least of all that will do: what fits, is done by the deadline or keeps the latency, is supported by the "
    "software, and then costs least with what spot devices lose. Says of each other what it fails by, whether today's devices are "
    "too large, and what to write. Exit 1 when nothing that has a price will do.\n\n"
    "Examples:\n\n  mlctl cost size\n\n  mlctl cost size training.helper --deadline 6h --gpus 1,8\n\n"
    "  mlctl cost size deployments.chat --tpot 50ms --concurrency 32\n\n"
    "  mlctl cost size training.helper --tier spot --apply-patch   # shows the change, and asks"
)
_MEMORY_OF = ("estimate", "actual", "memory")  # in the outputs of what was made


@dataclass(frozen=True)
class Sized:
    """One resource with its right size, and the change of the project that says so."""

    found: Found
    sizing: Sizing
    patch: Patched | None
    unpatched: str  # why there is no such change
    also: tuple[str, ...]  # other resources that the change is one of


@in_project
def size(
    workspace: Workspace,
    address: Addresses = None,
    deadline: Annotated[
        str | None,
        typer.Option("--deadline", metavar="DURATION", help="Of a training: until when it is surely done, such as 6h."),
    ] = None,
    tpot: Annotated[
        str | None,
        typer.Option(
            "--tpot", metavar="DURATION", help="Of a deployment: the most that a token may take, such as 50ms."
        ),
    ] = None,
    ttft: Annotated[
        str | None,
        typer.Option(
            "--ttft", metavar="DURATION", help="The most that the first token may take; of that only a floor is known."
        ),
    ] = None,
    concurrency: Annotated[
        int | None, typer.Option("--concurrency", min=1, help="Requests that there has to be room for at once.")
    ] = None,
    gpus: Counts = "1,2,4,8",
    gpu: Names = None,
    provider: Providers = None,
    tier: Tiers = None,
    rows: Rows = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    every: Annotated[bool, typer.Option("--all", help="Every option, not only the nearest.")] = False,
    apply_patch: Annotated[
        bool, typer.Option("--apply-patch", help="Write the choice into the project file, after showing it.")
    ] = False,
    yes: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Print the choices, and write one of them where that is asked for."""
    from mlctl.cli.costing.compare import asked, offers, tell_prices
    from mlctl.cli.patching import check_one, check_yes
    from mlctl.estimate.sizing import Wish

    check_yes(yes=yes, apply=apply_patch)
    priced(workspace, price, allow_stale=allow_stale)
    seconds = {name: None if text is None else seconds_of(text, f"--{name}")
               for name, text in (("deadline", deadline), ("tpot", tpot), ("ttft", ttft))}  # fmt: skip
    wish = Wish(seconds["deadline"], seconds["tpot"], seconds["ttft"], concurrency)
    offered = offers(workspace, gpus, gpu or [], provider or [], tier or [], None)
    found, left_out = sized(workspace, addresses(address), offered, wish, rows)
    if apply_patch:
        check_one([item.found.address for item in found])
    counted = asked(workspace, gpu or (), provider or (), tier or ())
    tell_prices(workspace, counted, as_json=as_json)
    _show(found, every=every, as_json=as_json)
    _tell_left_out(left_out, as_json=as_json)
    if apply_patch:
        _write(workspace, found[0], approved=yes, as_json=as_json)
    return ExitCode.OK if all(item.sizing.chosen is not None for item in found) else ExitCode.ERROR


def _show(found: list[Sized], *, every: bool, as_json: bool) -> None:
    import sys

    from mlctl.views.human import cost_size
    from mlctl.views.human.style import wants_color

    for item in found if as_json else ():
        emit_json(as_event(item))
    if not as_json:
        lines = [(item.found.address, item.found.workload, item.sizing, _patch_words(item)) for item in found]
        sys.stdout.write(cost_size.render(lines, every=every, color=wants_color(sys.stdout)))


def sized(
    workspace: Workspace,
    chosen: tuple[Any, ...],
    offered: list[Option],
    wish: Wish,
    rows: list[str] | None,
) -> tuple[list[Sized], list[Found]]:
    """The right size of each resource that is known well enough, and those that are not. Raises MlctlError where there is none,
    and for a wish that none of them could have."""
    from mlctl.cli.costing.workloads import assumed_rows, workloads
    from mlctl.cli.watching import one_by_one
    from mlctl.estimate import sizing

    found = workloads(workspace, chosen, assumed_rows(workspace, rows))
    known = [item for item in found if item.workload is not None]
    if not known:
        raise nothing(found)
    _wishes(wish, {item.workload.lasting for item in known if item.workload is not None})
    result = []
    for item in one_by_one(known, lambda item: item.address):
        assert item.workload is not None  # noqa: S101  filtered above
        own = sizing.Wish(deadline=wish.deadline) if not item.workload.lasting else sizing.Wish(
            tpot=wish.tpot, ttft=wish.ttft, concurrency=wish.concurrency
        )  # fmt: skip
        option = today(workspace, item)
        best = sizing.size(item.workload, offered, own, today=option, measured=measured(item))
        result.append(_with_patch(workspace, item, best))
    return result, [item for item in found if item.workload is None]


def _tell_left_out(found: list[Found], *, as_json: bool) -> None:
    """A word on each resource of which too little is known."""
    told = [
        Diagnostic(
            "cost.not-sized",
            f"{item.address} is not sized",
            item.why.removeprefix("unknown: ") or "what it asks of devices is not known",
            "",
            Severity.WARNING,
            address=item.address,
        )
        for item in found
    ]
    tell(told, as_json=as_json)


def _wishes(wish: Wish, lasting: set[bool]) -> None:
    """Raise MlctlError for a wish without effect."""
    if wish.deadline is not None and False not in lasting:
        raise _no_effect("--deadline", "a service has no end")
    for name in ("tpot", "ttft", "concurrency"):
        if getattr(wish, name) is not None and True not in lasting:
            raise _no_effect(f"--{name}", "there is no deployment of a language model among them")


def _no_effect(option: str, why: str) -> MlctlError:
    return MlctlError.of("cli.usage", f"`{option}` has no effect", why, "leave it out")


def nothing(found: list[Found]) -> MlctlError:
    """The error where nothing is known well enough."""
    told = [f"{item.address}: {item.why or 'what it asks of devices is not known'}" for item in found]
    why = "; ".join(told) or "there is no training and no deployment of a language model"
    fix = "say how much there is to learn from with `--rows DATASET=N`, or make what it learns from"
    return MlctlError.of("cost.nothing-to-size", "nothing here can be sized", why, fix)


def today(workspace: Workspace, found: Found) -> Option | None:
    """Where a workload is now, with its price; None where none is known."""
    from mlctl.estimate.devices import sheet_name
    from mlctl.estimate.options import Option

    assert found.workload is not None  # noqa: S101  asked of workloads alone
    device, tier = found.workload.device, found.workload.tier or "owned"
    name, known = sheet_name(device), cast("Tier", tier)
    hosts = found.estimate.devices if found.estimate is not None and device.host else 1
    rates = () if found.estimate is None else found.estimate.rates
    place = next(((rate.provider, rate.region) for rate in rates if (rate.gpu, rate.tier) == (name, tier)), ("", ""))
    used = hosts if device.host else device.count
    price = workspace.prices.price(name, known, place[0] or None, place[1] or None, devices=used)
    if price is None or workspace.prices.refused(price.as_of):
        return None
    providers = {row.provider for row in price.rows}
    provider = next(iter(providers)) if len(providers) == 1 else f"{len(providers)} providers"
    return Option(device, known, provider, price, hosts)


def measured(found: Found) -> float | None:
    """Bytes that a device was seen to hold when the resource was made as it is written now, on the devices it has now."""
    if not found.made or found.record is None or found.workload is None:
        return None
    value: Any = found.record.outputs
    for name in _MEMORY_OF:
        value = value.get(name) if isinstance(value, dict) else None
    planned = found.record.provenance.get("estimate")
    device = planned.get("device") if isinstance(planned, dict) else None
    if isinstance(value, bool) or not isinstance(value, int | float) or device != found.workload.device.name:
        return None
    return float(value)


def _with_patch(workspace: Workspace, found: Found, best: Sizing) -> Sized:
    from mlctl.cli.costing.moving import moved
    from mlctl.cli.patching import patched, shared
    from mlctl.types.address import Address

    if best.chosen is None:
        return Sized(found, best, None, "nothing that has a price will do", ())
    edits, why = moved(found, best.chosen)
    if not edits:
        return Sized(found, best, None, why or "it is there already", ())
    try:
        patch = patched(workspace, edits)
    except MlctlError as error:
        first = error.diagnostics[0]
        changes = ", ".join(f"`{edit.words}`" for edit in edits)
        return Sized(found, best, None, f"{first.summary}: {first.why or first.fix} ({changes})", ())
    return Sized(found, best, patch, "", tuple(shared(workspace.project, Address.parse(found.address))))


def _patch_words(item: Sized) -> tuple[list[str], str]:
    """The change as lines of YAML paths, or why there is none."""
    if item.patch is None:
        return [], item.unpatched
    also = f"also of {', '.join(item.also)}, which are made of the same block" if item.also else ""
    return [edit.words for edit in item.patch.edits], also


def as_event(item: Sized) -> dict[str, Any]:
    """A line of `--json`."""
    from mlctl.views.json.cost_sizing import sizing_json

    edits = [] if item.patch is None else [edit.words for edit in item.patch.edits]
    diff = "" if item.patch is None else item.patch.diff
    patch = {"changes": edits, "diff": diff, "also": list(item.also), "why": item.unpatched}
    return {"type": "cost_size", "address": item.found.address, **sizing_json(item.sizing), "patch": patch}


def _write(workspace: Workspace, item: Sized, *, approved: bool, as_json: bool) -> None:
    from mlctl.cli.patching import offer

    if item.patch is None:
        raise MlctlError.of(
            "cost.no-patch", f"{item.found.address} cannot be changed by mlctl", item.unpatched, "change it by hand"
        )
    offer(workspace, item.patch, approved=approved, as_json=as_json)
