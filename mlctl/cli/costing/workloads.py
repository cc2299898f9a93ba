"""What of a project takes devices, and for how long: its trainings and deployments as `plan` would see them, with or without a state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from mlctl.engine.choice import Asked, choose, inputs_of
from mlctl.engine.desired import as_input
from mlctl.engine.estimating import Foresight
from mlctl.engine.ledger import Ledger
from mlctl.engine.moves import moves
from mlctl.engine.selection import named
from mlctl.estimate.workload import Workload
from mlctl.provider import Context, Desired, Estimates, Input, Kind, Movable
from mlctl.spec import asking
from mlctl.spec.project import Project
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Change, Reason
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record
from mlctl.types.value import Unknown
from mlctl.workspace import Workspace

NOTHING_ASSUMED: Mapping[Address, float] = {}
_DATASETS = "datasets"
_MOST_ROWS = 1e15


@dataclass(frozen=True, slots=True)
class Found:
    """One resource that takes devices. What nothing is known of is None, and `why` says why."""

    address: str
    desired: Desired
    kind: Kind
    workload: Workload | None  # how it would do on other devices
    estimate: Estimate | None  # what it takes where the project puts it
    record: Record | None  # of what is made of it, if anything
    why: str = ""
    refused: MlctlError | None = None  # what `plan` would say instead of an estimate
    made: bool = False  # it is made as it is written, so that a plan has nothing to do


def workloads(
    workspace: Workspace, addresses: Sequence[Address] = (), rows: Mapping[Address, float] = NOTHING_ASSUMED
) -> list[Found]:
    """The trainings and deployments of a project, or those of some addresses, in the order of a plan. Takes no lock, changes
    nothing. `rows` are those that datasets are taken to have. Raises MlctlError for a project that is
    none, and for an address that it has not."""
    ledger, ctx = workspace.reader()
    found = found_in(workspace.project, ledger, ctx, addresses, rows)
    used = {address for item in found for address in item.desired.inputs}
    for address in sorted(rows.keys() - used):
        why = "nothing that is estimated learns from it"
        raise MlctlError.of("cli.usage", f"`--rows` of `{address.name}` has no effect", why, "leave it out")
    return found


def found_in(
    project: Project,
    ledger: Ledger,
    ctx: Context,
    addresses: Sequence[Address] = (),
    rows: Mapping[Address, float] = NOTHING_ASSUMED,
) -> list[Found]:
    """The same of a project that is loaded."""
    chosen = named(addresses, project.resources.keys()) if addresses else project.resources.keys()
    seen = moves(project, ledger).applied(ledger)
    ctx = replace(ctx, origins=seen.origins)
    foresight = Foresight(seen)
    live: dict[Address, Input | Unknown] = {}
    found: list[Found] = []
    for address in project.order:
        kind = project.resources[address].kind
        desired, change = choose(project, address, inputs_of(project, address, live), seen, ctx, Asked(refresh=False))
        record = seen.get(change.key) if change.key_known else None
        stays = not change.effective or change.reason is Reason.METADATA
        live[address] = as_input(kind, record) if record is not None and stays else Unknown(str(address))
        if address in chosen and isinstance(kind, Estimates | Movable):
            desired = _supposed(desired, rows)
            found.append(_found(kind, desired, change, seen, foresight, ctx))
    return found


def assumed_rows(workspace: Workspace, texts: Sequence[str] | None) -> dict[Address, float]:
    """Rows by dataset, from `NAME=N`. Raises MlctlError for what is not written like that, and for a dataset that there is not."""
    found: dict[Address, float] = {}
    known = [address.name for address in workspace.project.resources if address.section == _DATASETS]
    for text in texts or ():
        name, _, value = text.rpartition("=")
        name = name.removeprefix(f"{_DATASETS}.")
        try:
            count = float(value)
        except ValueError:
            count = 0.0
        if not name or not 1 <= count < _MOST_ROWS:
            raise MlctlError.of(
                "cli.usage", f"`--rows {text}` is not DATASET=N", "", "for example `--rows visits=2000000`"
            )
        if name not in known:
            summary = f"there is no dataset `{name}`"
            raise MlctlError.of(
                "cli.unknown-name", summary, "`--rows` says how large one is", did_you_mean(name, known)
            )
        found[Address(_DATASETS, name)] = count
    return found


def _supposed(desired: Desired, rows: Mapping[Address, float]) -> Desired:
    """With as many rows as a dataset is taken to have, in place of those that it has."""
    supposed = {
        address: _of_rows(address, desired.inputs[address], rows[address])
        for address in rows.keys() & desired.inputs.keys()
    }
    return replace(desired, inputs={**desired.inputs, **supposed}) if supposed else desired


def _of_rows(address: Address, found: Input | Unknown, rows: float) -> Input:
    known = (
        {} if isinstance(found, Unknown) else {name: found.outputs[name] for name in found.outputs if name != "files"}
    )
    return Input(ObjectKey(address, ""), {**known, "rows": rows}, "")


def _without(address: str, summary: str) -> str:
    """What is said of a resource, without its address in front, which stands there already."""
    return summary.removeprefix(f"{address}: ").removeprefix(f"{address} ")


def _found(kind: Kind, desired: Desired, change: Change, ledger: Ledger, foresight: Foresight, ctx: Context) -> Found:
    """One resource, asked for what it takes here and for what it is; a refusal is kept, since elsewhere it may well fit."""
    before = foresight.before(kind.section)
    estimate, refused = None, None
    try:
        estimate = asking.estimate(kind, desired, before, ctx)
    except MlctlError as error:
        if any(item.code.startswith("bug.") for item in error.diagnostics):
            raise
        refused = error
    workload = asking.workload(kind, desired, before, ctx)
    why = _without(str(desired.address), refused.diagnostics[0].summary) if refused is not None else ""
    if not why and estimate is not None and estimate.memory is None and estimate.seconds is None:
        why = "; ".join(estimate.notes)
    return Found(
        address=str(desired.address),
        desired=desired,
        kind=kind,
        workload=workload,
        estimate=estimate,
        record=ledger.made(desired.address),
        why=why,
        refused=refused,
        made=not change.effective or change.reason is Reason.METADATA,
    )
