"""mlctl force-unlock: take the lock of the state away from a holder that is gone."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import AsJson, AutoApprove, confirm, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Take the lock of the state away from a holder that is gone for good, such as a machine that was switched off.\n\n"
    "The message of a locked state shows the id. A process that still lives on this machine is refused: stop it instead. A "
    "holder that lives elsewhere all the same finds out before its next write, and ends with an error.\n\n"
    "Examples:\n\n  mlctl force-unlock 1f3a9c51"
)
@in_project
def force_unlock(
    workspace: Workspace,
    id: Annotated[str, typer.Argument(metavar="ID", help="The id of the lock, 8 hex digits.")],
    auto_approve: AutoApprove = False,
    as_json: AsJson = False,
) -> int:
    """Ask, and unlock."""
    if not auto_approve and not confirm(f"Take the lock {id} away from its holder?", as_json=as_json):
        print("Nothing was changed.")
        return ExitCode.ERROR
    holder = workspace.store.force_unlock(id)
    if as_json:
        emit_json({"type": "unlocked", "id": holder.id, "who": holder.who, "operation": holder.operation})
    else:
        print(f"The lock of {holder} is gone. What it had begun is in the journal: the next apply goes on from there.")
    return ExitCode.OK
