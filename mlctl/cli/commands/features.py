"""mlctl features: read, refresh and compare feature views."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    Parallelism,
    ProjectDir,
    ProjectFile,
    emit_json,
    make_group,
    open_workspace,
    pick,
)
from mlctl.cli.running import run
from mlctl.engine import applier, planner
from mlctl.providers.feast.parity import get_online, run_parity
from mlctl.types.address import Address
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.features import Parity

app = make_group()
View = Annotated[str | None, typer.Argument(help="The feature view; may be left out when there is only one.")]


@app.command(
    "get",
    help="Print the online features of some keys, as a server would see them now.\n\n"
    "Examples:\n\n  mlctl features get user_activity_7d 42 43",
)
def get(
    view: Annotated[str, typer.Argument(help="The feature view.")],
    keys: Annotated[list[str], typer.Argument(help="Entity keys.")],
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    as_json: AsJson = False,
) -> int:
    """Look keys up online."""
    workspace = open_workspace(project, file)
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
def parity(
    view: View = None, project: ProjectDir = DEFAULT_DIR, file: ProjectFile = None, as_json: AsJson = False
) -> int:
    """Compare them, one view or all that are online."""
    workspace = open_workspace(project, file)
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
def materialize(
    view: View = None,
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    parallelism: Parallelism = 4,
    as_json: AsJson = False,
) -> int:
    """Apply feature views and what they depend on."""
    workspace = open_workspace(project, file)
    views = [address for address in workspace.project.order if address.section == "feature_views"]
    chosen = tuple(views) if view is None else (Address("feature_views", view.removeprefix("feature_views.")),)
    if not chosen:
        raise MlctlError.of("cli.nothing-to-do", "the project has no feature views", "", "")
    return run(
        workspace,
        "features materialize",
        lambda session, context: planner.plan(workspace.project, session.ledger, context, targets=chosen),
        lambda plan, session, context, emit: applier.apply(
            plan, workspace.project, workspace.kind, session, context, emit, parallelism=parallelism
        ),
        approved=True,
        as_json=as_json,
        question="",
    )


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
