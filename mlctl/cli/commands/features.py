"""mlctl features: read, refresh and compare feature views."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    AsJson,
    Parallelism,
    again,
    emit_json,
    make_group,
    pick,
)
from mlctl.cli.project import in_project
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine.operations import Operation
from mlctl.providers.feast.parity import get_online, run_parity
from mlctl.types.address import Address
from mlctl.types.change import Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.features import Parity
from mlctl.workspace import Workspace

app = make_group(
    "Read, refresh and compare what feature views serve.\n\n"
    "Examples:\n\n  mlctl features get user_activity_7d 42\n\n  mlctl features parity"
)
View = Annotated[str | None, typer.Argument(help="The feature view; may be left out when there is only one.")]


@app.command(
    "get",
    help="Print the online features of some keys, as a server would see them now.\n\n"
    "Examples:\n\n  mlctl features get user_activity_7d 42 43",
)
@in_project
def get(
    workspace: Workspace,
    view: Annotated[str, typer.Argument(help="The feature view.")],
    keys: Annotated[list[str], typer.Argument(help="Entity keys.")],
    as_json: AsJson = False,
) -> int:
    """Look keys up online."""
    _, context = workspace.reader()
    for row in get_online(pick(workspace.records(), "feature_views", view), keys, context):
        if as_json:
            emit_json({"type": "features", **row})
        else:
            print("  ".join(f"{name}={value}" for name, value in row.items()))
    return ExitCode.OK


@app.command(
    "parity",
    help="Compare offline and online features of every key at the last snapshot. Exit 3 when they differ by more than 0.001 %.\n\n"
    "Examples:\n\n  mlctl features parity\n\n  mlctl features parity user_activity_7d --json",
)
@in_project
def parity(workspace: Workspace, view: View = None, as_json: AsJson = False) -> int:
    """Compare them, one view or all that are online."""
    _, context = workspace.reader()
    records = workspace.records()
    chosen = [
        record
        for address, record in records.items()
        if address.startswith("feature_views.") and record.outputs.get("online")
    ]
    if view is not None or not chosen:
        chosen = [pick(records, "feature_views", view)]
    passed = True
    for record in chosen:
        result = run_parity(record, context)
        passed = passed and result.passed
        if as_json:
            emit_json({"type": "parity", **result.model_dump(mode="json")})
        else:
            print(_text(result))
    return ExitCode.OK if passed else ExitCode.GATE_FAILED


@app.command(
    "materialize",
    help="Bring feature views up to date with their sources: an apply of just these.\n\n"
    "Examples:\n\n  mlctl features materialize",
)
@in_project
def materialize(
    workspace: Workspace,
    view: View = None,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Apply feature views and what they depend on."""
    views = [address for address in workspace.project.order if address.section == "feature_views"]
    chosen = tuple(views) if view is None else (Address("feature_views", view.removeprefix("feature_views.")),)
    if not chosen:
        raise MlctlError.of("cli.nothing-to-do", "the project has no feature views", "", "")
    request = Request(
        Operation("features materialize", Selection(chosen)),
        workspace.project,
        again=again(workspace, "features", {"": ["materialize", *([view] if view else [])]}),
        approved=True,
        as_json=as_json,
        parallelism=parallelism,
    )
    return run(workspace, request)


def _text(result: Parity) -> str:
    """A verdict on one line, and the worst value on another."""
    verdict = "offline = online" if result.passed else "OFFLINE AND ONLINE DIFFER"
    lines = [
        f"{result.view}: {verdict} for {result.keys} keys, {result.values} values at {result.at}; "
        f"largest relative difference {result.max_relative:.3g}, {result.tolerance:g} allowed"
    ]
    if not result.passed:
        lines.append(f"  {result.mismatched} values differ, {result.null_mismatches} are missing on one side only")
        if result.worst is not None:
            lines.append(f"  the worst: {result.worst.model_dump(mode='json')}")
    return "\n".join(lines)
