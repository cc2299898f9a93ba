"""mlctl replay: make a decision again, and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.cli.replaying import replay as make_again
from mlctl.cli.replaying import text_of
from mlctl.files import decisions
from mlctl.types.diagnostic import ExitCode
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Make a decision of the ledger again from what is kept with it, and compare the two to the bit. Exit 1 when they differ.\n\n"
    "Examples:\n\n  mlctl replay 20260301T120000Z-4f1c2d3e5a\n\n  mlctl replay 20260301T12 --json"
)
@in_project
def replay(
    workspace: Workspace,
    decision: Annotated[
        str, typer.Argument(metavar="ID", help="The decision, or as much of its id as tells it from others.")
    ],
    as_json: AsJson = False,
) -> int:
    """Same, or where it differs."""
    found, folder = decisions.find(workspace.home, decision)
    _, context = workspace.reader()
    again = make_again(found, folder, context)
    if as_json:
        emit_json(
            {
                "type": "replay",
                "id": folder.name,
                "kind": found.kind,
                "address": found.address,
                "same": again.same,
                "verdict": found.verdict,
                "code": again.code,
                "code_then": found.code,
                "differences": [{"field": path, "then": was, "now": now} for path, was, now in again.differences],
            }
        )
    else:
        print(text_of(again, found))
    return ExitCode.OK if again.same else ExitCode.ERROR
