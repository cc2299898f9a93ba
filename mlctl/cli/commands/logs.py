"""mlctl logs: the log of a resource."""

from __future__ import annotations

import sys
import time
from collections import deque
from typing import Annotated

import typer

from mlctl.cli.options import DEFAULT_DIR, ProjectDir, ProjectFile, addresses, make_app, open_workspace
from mlctl.provider import Logs
from mlctl.types.diagnostic import MlctlError, did_you_mean

app = make_app()

_POLL_SECONDS = 0.2


@app.command(
    help="Print the log of a resource's worker or server.\n\nExamples:\n\n  mlctl logs deployments.churn_api -n 50\n\n  mlctl logs training.churn --follow"
)
def logs(
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0 for all.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", help="Go on as it grows, until Ctrl-C.")] = False,
    project: ProjectDir = DEFAULT_DIR,
    file: ProjectFile = None,
) -> int:
    """Print the end of it."""
    workspace = open_workspace(project, file)
    (wanted,) = addresses([address])
    ledger, context = workspace.reader()
    record = ledger.current(wanted)
    if record is None:
        raise MlctlError.of(
            "cli.unknown-name",
            f"there is no `{address}` in the state",
            "",
            did_you_mean(address, {str(item.key.address) for item in ledger})
            or "see what there is with `mlctl state list`",
        )
    kind = workspace.kind(wanted.section)
    path = kind.log(record, context) if isinstance(kind, Logs) else None
    if path is None or not path.exists():
        raise MlctlError.of(
            "cli.no-log", f"{address} has no log", "only what runs in a process of its own writes one", ""
        )
    with open(path, encoding="utf-8", errors="replace") as stream:
        sys.stdout.writelines(deque(stream, maxlen=lines or None))
        while follow and path.exists():
            print(stream.read(), end="", flush=True)
            time.sleep(_POLL_SECONDS)
    return 0
