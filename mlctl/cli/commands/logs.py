"""mlctl logs: the log of a resource."""

from __future__ import annotations

import sys
import time
from collections import deque
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.following_progress import ProgressLines
from mlctl.cli.options import addresses, make_app
from mlctl.cli.project import in_project
from mlctl.engine.runs import Runs
from mlctl.provider import Logs, LogsOfRanks
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.job import EVENTS_FILE
from mlctl.types.secret import redacted
from mlctl.types.state import Record
from mlctl.views.human.style import Paint, wants_color
from mlctl.workspace import Workspace

app = make_app()

_POLL_SECONDS = 0.2


@app.command(
    help="Print how far the work of a resource came, and the log of its worker or server. With --follow it waits for one that a "
    "run is still to begin, and tells between its lines how far the work is.\n\n"
    "Examples:\n\n  mlctl logs deployments.churn_api -n 50\n\n  mlctl logs training.churn --follow\n\n"
    "  mlctl logs training.churn --rank 1"
)
@in_project
def logs(
    workspace: Workspace,
    address: Annotated[str, typer.Argument(help="The address, for example training.churn.")],
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="How many of the last lines; 0 for all.")] = 200,
    follow: Annotated[bool, typer.Option("--follow", "-F", help="Go on as it grows, until Ctrl-C.")] = False,
    rank: Annotated[
        int | None, typer.Option("--rank", min=0, help="Of a training by several processes: the log of this one alone.")
    ] = None,
) -> int:
    """Print the end of it."""
    (wanted,) = addresses([address])
    paths = _paths(workspace, wanted, rank)
    while not paths and follow and _still_to_come(workspace, wanted):
        time.sleep(_POLL_SECONDS)
        paths = _paths(workspace, wanted, rank)
    if not paths:
        raise _absent(workspace, wanted, rank)
    with ExitStack() as stack:
        streams = [stack.enter_context(open(path, encoding="utf-8", errors="replace")) for path in paths]
        progress = ProgressLines(paths[0].parent / EVENTS_FILE, wanted)
        paint = Paint(wants_color(sys.stdout))
        for line in progress.before(lines):
            print(paint(redacted(line), "dim"))
        for path, stream in zip(paths, streams, strict=True):
            if len(paths) > 1:
                print(f"==> {path.name} <==")
            sys.stdout.writelines(map(redacted, deque(stream, maxlen=lines or None)))
        whole = True  # what was printed last is a whole line, so that another may follow it
        while follow and paths[0].exists():
            for text in filter(None, (stream.read() for stream in streams)):
                print(redacted(text), end="", flush=True)
                whole = text.endswith("\n")
            for line in progress.news() if whole else ():
                print(paint(redacted(line), "dim"), flush=True)
            time.sleep(_POLL_SECONDS)
    return 0


def _record(workspace: Workspace, address: Address) -> Record | None:
    return workspace.ledger().current(address)


def _paths(workspace: Workspace, address: Address, rank: int | None) -> Sequence[Path]:
    """The logs as they are now; none when there is none yet."""
    ledger, context = workspace.reader()
    record = ledger.current(address)
    kind = workspace.kind(address.section) if record is not None else None
    if record is None or kind is None:
        return ()
    if rank is not None:
        return kind.rank_logs(record, rank, context) if isinstance(kind, LogsOfRanks) else ()
    path = kind.log(record, context) if isinstance(kind, Logs) else None
    return [path] if path is not None and path.exists() else ()


def _still_to_come(workspace: Workspace, address: Address) -> bool:
    """Whether a run is at work that would begin it."""
    return any(
        change.address == address and change.effective
        for folder in Runs(workspace.home).running()
        for change in folder.saved().plan
    )


def _absent(workspace: Workspace, address: Address, rank: int | None) -> MlctlError:
    if _record(workspace, address) is not None and rank is not None:
        why = "only a training by several processes has them, counted from 0"
        return MlctlError.of("cli.no-log", f"{address} has no log of a rank {rank}", why, "leave `--rank` out")
    if _record(workspace, address) is not None:
        return MlctlError.of(
            "cli.no-log", f"{address} has no log", "only what runs in a process of its own writes one", ""
        )
    known = {str(item.key.address) for item in workspace.ledger()}
    fix = did_you_mean(str(address), known) or "see what there is with `mlctl state list`"
    return MlctlError.of("cli.unknown-name", f"there is no `{address}` in the state", "", fix)
