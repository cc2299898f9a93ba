"""mlctl cost advise: the ten ways to make it cheaper, what each would save here, and what to write for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from mlctl.cli.costing.compare import Names, Providers, Tiers
from mlctl.cli.costing.estimate import Addresses, Rows
from mlctl.cli.options import AsJson, AutoApprove, addresses, emit_json
from mlctl.cli.pricing import AllowStale, Price, priced
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.cli.costing.advising import Advice
    from mlctl.cli.costing.position import Position
    from mlctl.cli.costing.workloads import Found
    from mlctl.cli.patching import Patched

HELP = (
    "Ten ways to make a training or a deployment cheaper: what each would save of it, held against the estimate of today, what it "
    "risks, and what to write. What is in use already, or does not apply, is said in a word.\n\n"
    "Examples:\n\n  mlctl cost advise\n\n  mlctl cost advise training.helper --json\n\n"
    "  mlctl cost advise training.helper --apply-patch 4   # number 4 of the list: shows the change, and asks"
)


@in_project
def advise(
    workspace: Workspace,
    address: Addresses = None,
    gpu: Names = None,
    provider: Providers = None,
    tier: Tiers = None,
    rows: Rows = None,
    price: Price = None,
    allow_stale: AllowStale = False,
    apply_patch: Annotated[
        int | None,
        typer.Option(
            "--apply-patch", metavar="N", min=1, max=10, help="Write way N into the project file, after showing it."
        ),
    ] = None,
    yes: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Print the ways, and write one of them where that is asked for."""
    from mlctl.cli.costing.advising import Adviser
    from mlctl.cli.costing.compare import asked, offers, tell_prices
    from mlctl.cli.costing.workloads import assumed_rows, workloads
    from mlctl.cli.patching import check_one, check_yes
    from mlctl.cli.watching import one_by_one

    check_yes(yes=yes, apply=apply_patch is not None)
    priced(workspace, price, allow_stale=allow_stale)
    assumed = assumed_rows(workspace, rows)
    found = [
        item
        for item in workloads(workspace, addresses(address), assumed)
        if item.address.startswith(("training.", "deployments."))
    ]
    if not found:
        raise MlctlError.of(
            "cost.nothing-to-advise",
            "there is nothing to advise on",
            "the ten ways are of trainings and deployments",
            "",
        )
    if apply_patch is not None:
        check_one([item.address for item in found])
    adviser = Adviser(
        workspace, offers(workspace, names=gpu or (), providers=provider or (), tiers=tier or ()), assumed
    )
    told = [
        (item, adviser.position(item), adviser.advise(item)) for item in one_by_one(found, lambda item: item.address)
    ]
    counted = asked(workspace, gpu or (), provider or (), tier or ())
    tell_prices(workspace, counted, as_json=as_json)
    if apply_patch is not None:
        return _write(workspace, found[0].address, told[0][2][apply_patch - 1], approved=yes, as_json=as_json)
    _show(told, as_json=as_json)
    return ExitCode.OK


def _show(told: list[tuple[Found, Position | None, list[Advice]]], *, as_json: bool) -> None:
    import sys

    from mlctl.views.human import cost_advise
    from mlctl.views.human.style import wants_color

    if as_json:
        for item, _, every in told:
            for advice in every:
                emit_json(as_event(item.address, advice))
        return
    shown = [
        cost_advise.Shown(
            item.address, position, [(advice, words(advice.patch, item.address)) for advice in every], item.why
        )
        for item, position, every in told
    ]
    sys.stdout.write(cost_advise.render(shown, color=wants_color(sys.stdout)))


def words(patch: Patched | None, address: str) -> list[str]:
    """A change as paths and values; of another resource with its address."""
    if patch is None:
        return []
    return [
        edit.words if str(edit.address) == address else f"{edit.words}   (of {edit.address})" for edit in patch.edits
    ]


def as_event(address: str, advice: Advice) -> dict[str, Any]:
    """A line of `--json`."""
    from mlctl.views.json.cost_sizing import saving_json

    patch = advice.patch
    return {
        "type": "cost_advice",
        "address": address,
        "number": advice.tactic.number,
        "tactic": advice.tactic.name,
        "standing": advice.standing.value,
        "why": advice.why,
        "risk": advice.risk,
        "saving": None if advice.saving is None else saving_json(advice.saving),
        "changes": []
        if patch is None
        else [{"address": str(edit.address), "change": edit.words} for edit in patch.edits],
        "diff": "" if patch is None else patch.diff,
    }


def _write(workspace: Workspace, address: str, advice: Advice, *, approved: bool, as_json: bool) -> int:
    from mlctl.cli.patching import offer, shared
    from mlctl.types.address import Address

    if advice.patch is None:
        raise MlctlError.of(
            "cost.no-patch",
            f"way {advice.tactic.number}, {advice.tactic.name}, has nothing to write into {address}",
            f"{advice.standing}: {advice.why}" if advice.why else str(advice.standing),
            f"see `mlctl cost advise {address}`",
        )
    also = shared(workspace.project, Address.parse(address))
    if also and not as_json:
        print(f"The same block makes {', '.join(also)}, which change too.")
    offer(workspace, advice.patch, approved=approved, as_json=as_json)
    return ExitCode.OK
