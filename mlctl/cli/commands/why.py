"""mlctl why: why a resource would change, or last changed."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import (
    DEFAULT_DIR,
    AsJson,
    ProjectDir,
    ProjectFile,
    addresses,
    emit_json,
    make_app,
    open_workspace,
)
from mlctl.engine import planner
from mlctl.engine.history import last_difference
from mlctl.views.human import plan as view
from mlctl.views.json.plan import change_json

app = make_app()


@app.command(
    help="Explain which part of a resource's content key would change, old and new; with nothing to do, which part changed last.\n\nExamples:\n\n  mlctl why training.churn"
)
def why(
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
    as_json: AsJson = False,
) -> int:
    """Plan one resource and tell its reasons."""
    workspace = open_workspace(project, file)
    (wanted,) = addresses([address])
    opened = workspace.project
    ledger, context = workspace.reader()
    plan = planner.plan(opened, ledger, context, targets=[wanted])
    workspace.digests.save()
    change = next(item for item in plan if item.address == wanted)
    before = () if change.effective else last_difference(ledger, wanted)
    if as_json:
        emit_json(
            {
                "type": "why",
                **change_json(change),
                "last": [{"path": item.path, "old": item.old, "new": item.new} for item in before],
            }
        )
        return 0
    print(f"{address}: {view.action(change)}, {view.why(change)}")
    for item in change.fields or before:
        prefix = "" if change.fields else "last changed by "
        for line in view.differences(item):
            print(f"  {prefix}{line}")
    if not change.fields and not before and not change.effective:
        print("  nothing has changed since it was first made")
    return 0
