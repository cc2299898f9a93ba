"""mlctl logs: the log of a resource."""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import addresses, make_app
from mlctl.cli.project import in_project
from mlctl.engine.runs import Runs
from mlctl.provider import Logs
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.secret import redacted
from mlctl.types.state import Record
from mlctl.workspace import Workspace

app = make_app()

_POLL_SECONDS = 0.2


@app.command(
    help="Print the log of a resource's worker or server. With --follow it waits for one that a run is still to begin.\n\n"
    "Examples:\n\n  mlctl logs deployments.churn_api -n 50\n\n  mlctl logs training.churn --follow"
)
@in_project
def logs(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0 for all.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on as it grows, until Ctrl-C.")] = False,
) -> int:
    """Print the end of it."""
    (wanted,) = addresses([address])
    path = _path(workspace, wanted)
    while path is None and follow and _still_to_come(workspace, wanted):
        time.sleep(_POLL_SECONDS)
        path = _path(workspace, wanted)
    if path is None:
        raise _absent(workspace, wanted)
    with open(path, encoding="utf-8", errors="replace") as stream:
        sys.stdout.writelines(map(redacted, deque(stream, maxlen=lines or None)))
        while follow and path.exists():
            print(redacted(stream.read()), end="", flush=True)
            time.sleep(_POLL_SECONDS)
    return 0


def _record(workspace: Workspace, address: Address) -> Record | None:
    return workspace.ledger().current(address)


def _path(workspace: Workspace, address: Address) -> Path | None:
    """The log as it is now; None when there is none yet."""
    ledger, context = workspace.reader()
    record = ledger.current(address)
    kind = workspace.kind(address.section) if record is not None else None
    path = kind.log(record, context) if record is not None and isinstance(kind, Logs) else None
    return path if path is not None and path.exists() else None


def _still_to_come(workspace: Workspace, address: Address) -> bool:
    """Whether a run is at work that would begin it."""
    return any(
        change.address == address and change.effective
        for folder in Runs(workspace.home).running()
        for change in folder.saved().plan
    )


def _absent(workspace: Workspace, address: Address) -> MlctlError:
    if _record(workspace, address) is not None:
        return MlctlError.of(
            "cli.no-log", f"{address} has no log", "only what runs in a process of its own writes one", ""
        )
    known = {str(item.key.address) for item in workspace.ledger()}
    fix = did_you_mean(str(address), known) or "see what there is with `mlctl state list`"
    return MlctlError.of("cli.unknown-name", f"there is no `{address}` in the state", "", fix)
