"""mlctl why: why a resource would change, or last changed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from mlctl.cli.options import (
    AsJson,
    addresses,
    emit_json,
    make_app,
)
from mlctl.cli.project import in_project
from mlctl.engine import planner
from mlctl.engine.history import last_difference
from mlctl.types.change import Action, Change, FieldChange, Selection
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.views.human import plan as view
from mlctl.views.human.estimates import explained
from mlctl.views.json.plan import change_json
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Explain which part of a resource's content key would change, old and new; with nothing to do, which part changed last.\n\nExamples:\n\n  mlctl why training.churn"
)
@in_project
def why(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    as_json: AsJson = False,
) -> int:
    """Plan one resource and tell its reasons."""
    (wanted,) = addresses([address])
    opened = workspace.project
    ledger, context = workspace.reader()
    plan = planner.plan(opened, ledger, context, Selection((wanted,)))
    workspace.digests.save()
    changes = [item for item in plan if wanted.covers(item.address) and item.action is not Action.DELETE]
    if not changes:
        why = "it is not of the project, and what is in the state of it is still used"
        fix = did_you_mean(address, map(str, opened.resources)) or "see `mlctl plan`"
        raise MlctlError.of("plan.not-planned", f"the plan says nothing about `{address}`", why, fix)
    for change in changes:
        _tell(change, () if change.effective else last_difference(ledger, change.address), as_json=as_json)
    return 0


def _tell(change: Change, before: Sequence[FieldChange], *, as_json: bool) -> None:
    """The reasons of one resource: what would change it or, with nothing to do, what changed it last."""
    if as_json:
        emit_json(
            {
                "type": "why",
                **change_json(change),
                "last": [{"path": item.path, "old": item.old, "new": item.new} for item in before],
            }
        )
        return
    print(f"{change.address}: {view.action(change)}, {view.why(change)}")
    for item in change.fields or before:
        prefix = "" if change.fields else "last changed by "
        for line in view.differences(item):
            print(f"  {prefix}{line}")
    for line in () if change.estimate is None else explained(change.estimate):
        print(f"  {line}")
    if not change.fields and not before and not change.effective:
        print("  nothing has changed since it was first made")
