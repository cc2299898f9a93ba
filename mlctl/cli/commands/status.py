"""mlctl status: every object, and whether it is well."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import asdict

import typer

from mlctl.cli.options import AsJson, Refresh, emit_json, make_app, refreshing
from mlctl.cli.project import in_project
from mlctl.engine.health import Health, survey
from mlctl.engine.ledger import Ledger
from mlctl.engine.runs import Runs
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human import plan as view
from mlctl.views.human.style import Paint, columns, wants_color
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_app()

_HINTS = {"unfinished": "go on with: mlctl apply", "gone": "make it again with: mlctl apply"}
_AT_WORK = {"unfinished": "a run is at work on it"}
_COLORS = {"ready": "green", "running": "cyan", "resumable": "yellow", "unfinished": "yellow"}


@app.command(
    help="Show every object and whether it is well. Exit 1 when something is broken or gone.\n\n"
    "Examples:\n\n  mlctl status\n\n  mlctl status --json | jq 'select(.condition != \"ready\")'\n\n"
    "Of one object `mlctl show ADDRESS` tells all.",
    context_settings={"allow_extra_args": True},  # to say so to those who give one
)
@in_project
def status(
    workspace: Workspace,
    typed: typer.Context,
    refresh: Refresh = "true",
    as_json: AsJson = False,
) -> int:
    """Look at each object by cheap evidence."""
    if typed.args:
        why, fix = "it takes no address", f"for one object: `mlctl show {typed.args[0]}`"
        raise MlctlError.of("cli.usage", "`mlctl status` shows every object", why, fix)
    refreshing(workspace, refresh)
    ledger, context = workspace.reader()
    found = survey(ledger, workspace.kind, context)
    if as_json:
        for item in found:
            emit_json({"type": "status", **item.to_json()})
        if ledger.held is not None:
            emit_json({"type": "held", **asdict(ledger.held)})
        for run in Runs(workspace.home).running():
            emit_json({"type": "run", **run.summary()})
    elif not found:
        print("Nothing has been made yet. Begin with: mlctl apply")
    else:
        paint = Paint(wants_color(sys.stdout))
        hints = _AT_WORK if Runs(workspace.home).running() else _HINTS
        for line, item in zip(columns([_row(item, hints) for item in found]), found, strict=True):
            print(line.replace(item.condition, paint(item.condition, _COLORS.get(item.condition, "red")), 1))
    if not as_json:
        _around(workspace, ledger)
    return ExitCode.OK if all(item.well for item in found) else ExitCode.ERROR


def _around(workspace: Workspace, ledger: Ledger) -> None:
    """What is at work on the objects, and what keeps them as they are."""
    for line in view.held(ledger.held):
        print(f"\n{line}")
    for run in Runs(workspace.home).running():
        about = run.read()
        print(
            f"\nrun {run.id}: {about.operation} by {safe(about.who)}, since {safe(about.since)} · mlctl attach {run.id}"
        )


def _row(item: Health, hints: Mapping[str, str]) -> list[str]:
    return [str(item.address), item.condition, safe(item.at), safe(item.detail) or hints.get(item.condition, "")]
