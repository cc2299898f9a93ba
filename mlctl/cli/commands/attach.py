"""mlctl attach: watch a run that goes on without a terminal, or see what came of it."""

from __future__ import annotations

from typing import Annotated

import typer

from mlctl.cli.following import follow
from mlctl.cli.options import AsJson, make_app
from mlctl.cli.project import in_project
from mlctl.cli.request import history
from mlctl.workspace import Workspace

app = make_app()


@app.command(
    help="Follow a run until its end and exit with its exit code; of a run that is over, show what came of it. Ctrl-C only "
    "leaves the view, the run goes on.\n\nExamples:\n\n  mlctl attach\n\n  mlctl attach 7f3a --json"
)
@in_project
def attach(
    workspace: Workspace,
    run: Annotated[
        str | None, typer.Argument(help="The run; the one at work, or else the last, when left out.")
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Follow it."""
    folder = history(workspace).find(run, running=True)
    about = folder.read()
    try:
        if not as_json:
            print(f"run {folder.id}: {about.operation} by {about.who}, since {about.since}", flush=True)
            if about.phase == "starting" and folder.running:
                print(
                    "It has not begun yet: it looks at what there is, or waits for another writer to end.", flush=True
                )
        return follow(folder, as_json=as_json)
    except KeyboardInterrupt:
        if not as_json:
            print(f"\nLeft the view; the run goes on. Join it again with: mlctl attach {folder.id}")
        return 0
