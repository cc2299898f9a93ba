"""mlctl plan: show what apply would change, and why."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    ProjectDir,
    ProjectFile,
    Refresh,
    Targets,
    addresses,
    emit_json,
    make_app,
    open_workspace,
)
from mlctl.engine import planner
from mlctl.types.diagnostic import ExitCode

app = make_app()


@app.command(
    help="Show what apply would change, and why. Changes nothing and takes no lock.\n\n"
    "Examples:\n\n  mlctl plan\n\n  mlctl plan --target training.churn\n\n  mlctl plan --json --detailed-exitcode   # for CI: 0 no changes, 2 changes"
)
def plan(
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    target: Targets = None,
    refresh: Refresh = "true",
    detailed_exitcode: Annotated[
        bool, typer.Option("--detailed-exitcode", "-detailed-exitcode", help="Exit 2 when there are changes.")
    ] = False,
    verbose: Annotated[bool, typer.Option("--verbose", "-v", help="List unchanged resources too.")] = False,
    as_json: AsJson = False,
) -> int:
    """Make and show a plan."""
    workspace = open_workspace(project, file, refresh)
    opened = workspace.project
    ledger, context = workspace.reader()
    found = planner.plan(opened, ledger, context, targets=addresses(target), refresh=refresh != "false")
    workspace.digests.save()
    if as_json:
        from mlctl.views.json import plan as json_view

        emit_json(json_view.header())
        for line in json_view.lines(found):
            emit_json(line)
    else:
        from mlctl.views.human import plan as view
        from mlctl.views.human.style import wants_color

        sys.stdout.write(view.render(found, color=wants_color(sys.stdout), verbose=verbose))
        if target:
            print("This plan is partial: only the targets and what they depend on.")
    return ExitCode.CHANGES if detailed_exitcode and not found.empty else ExitCode.OK
