"""mlctl approve: let dependents go on although a gate did not pass."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import AsJson, addresses, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.engine.approve import approve as approve_gate
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Let dependents go on although the gate of a check or an evaluation did not pass. Who, why and when stay with the "
    "verdict, which holds until the object is made anew with another result.\n\n"
    'Examples:\n\n  mlctl approve evaluations.churn_gate --why "recall is what counts this week"'
)
@in_project
def approve(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(help="The gate, for example evaluations.churn_gate.")],
    why: Annotated[str, typer.Option("--why", metavar="TEXT", help="The reason, for those who ask later.")],
    as_json: AsJson = False,
) -> int:
    """Record the approval, and publish what a pass would have published."""
    (wanted,) = addresses([address])
    with workspace.session("approve") as (session, context):
        record = approve_gate(wanted, why, workspace.kind, session, context)
    gate = record.gate
    if as_json:
        emit_json({"type": "approved", "address": address, "gate": None if gate is None else gate.to_json()})
    elif gate is not None and gate.approval is not None:
        print(safe(f"Approved by {gate.approval.who}: {wanted}, {gate.summary}."))
        print("`mlctl apply` goes on with what it held back.")
    return 0
