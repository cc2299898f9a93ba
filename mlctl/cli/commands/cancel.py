"""mlctl cancel: end a run, at its next checkpoint or at once."""

from __future__ import annotations

import math
import os
import signal
import socket
import sys
import time
from contextlib import suppress
from typing import Annotated

import typer

from mlctl.cli.following import outcome
from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import in_project
from mlctl.engine.health import survey
from mlctl.engine.runs import RunFolder, Runs, now
from mlctl.processes import worker
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.views.human import result as human_result
from mlctl.views.human.style import wants_color
from mlctl.views.human.text import safe
from mlctl.workspace import Workspace

app = make_app()

_POLL_SECONDS = 0.1
_KILL_SECONDS = 10.0  # what a run gets to end its jobs itself


@app.command(
    help="Ask a run to stop at its next checkpoint, and wait for that; with --kill end it and its jobs now. What checkpoints "
    "hold is kept either way, and the next apply goes on from there. Where no run is at work, trainings that were left to go "
    "on alone are ended.\n\nExamples:\n\n  mlctl cancel\n\n  mlctl cancel 7f3a --kill"
)
@in_project
def cancel(
    workspace: Workspace,
    run: Annotated[str | None, typer.Argument(help="The run; the one at work when left out.")] = None,
    kill: Annotated[bool, typer.Option("--kill", help="End it now, without waiting for a checkpoint.")] = False,
    as_json: AsJson = False,
) -> int:
    """End it."""
    runs = Runs(workspace.home)
    if run is None and not runs.running() and (alone := _alone(workspace)):
        return _end_alone(workspace, alone, kill=kill, as_json=as_json)
    folder = runs.find(run, running=True)
    if not folder.running:
        raise MlctlError.of(
            "run.over", f"the run `{folder.id}` is not at work", "", f"see what came of it: mlctl attach {folder.id}"
        )
    _ask(folder, kill=kill)
    _wait(workspace, folder, kill=kill, as_json=as_json)
    applied = outcome(folder)
    applied.interrupted = True
    if as_json:
        emit_json({"type": "run", **folder.summary()})
    else:
        print(human_result.render(applied, color=wants_color(sys.stdout)))
    return ExitCode.OK


def _alone(workspace: Workspace) -> list[ObjectKey]:
    """The objects that a process still works on, which an interrupted apply left alone."""
    ledger, context = workspace.reader()
    return [record.key for record in ledger if not record.complete and worker.running(context.folder(record.key))]


def _end_alone(workspace: Workspace, alone: list[ObjectKey], *, kill: bool, as_json: bool) -> int:
    """End those, and tell how far they are."""
    _, context = workspace.reader()
    for key in alone:
        if not as_json:
            print(f"{key.address}: {_word(kill=kill)} ...", file=sys.stderr, flush=True)
        worker.stop(context.folder(key), 0.0 if kill else math.inf)
    ledger, context = workspace.reader()
    ended = {key.address for key in alone}
    for item in survey(ledger, workspace.kind, context):
        if item.address in ended and as_json:
            emit_json({"type": "status", **item.to_json()})
        elif item.address in ended:
            print(f"{item.address}: {item.condition}, {safe(item.detail)}. Go on with: mlctl apply")
    return ExitCode.OK


def _word(*, kill: bool) -> str:
    return "ending" if kill else "stopping at the next checkpoint"


def _ask(folder: RunFolder, *, kill: bool) -> None:
    about = folder.read()
    if about.host != socket.gethostname():
        raise MlctlError.of("run.elsewhere", f"the run `{folder.id}` works on `{about.host}`", "a process is ended where it runs", f"run this on `{about.host}`")  # fmt: skip
    folder.ask("kill" if kill else "stop")
    with suppress(ProcessLookupError):  # it ended meanwhile, and the lock tells
        os.kill(about.pid, signal.SIGTERM)


def _wait(workspace: Workspace, folder: RunFolder, *, kill: bool, as_json: bool) -> None:
    """Until it is over. One that does not end when it should is ended, and so are its jobs."""
    if not as_json:
        print(f"run {folder.id}: {_word(kill=kill)} ...", file=sys.stderr, flush=True)
    deadline = time.monotonic() + _KILL_SECONDS
    while folder.running:
        if kill and time.monotonic() > deadline:
            with suppress(ProcessLookupError):
                os.kill(folder.read().pid, signal.SIGKILL)
            deadline = time.monotonic() + _KILL_SECONDS
        time.sleep(_POLL_SECONDS)
    if kill:
        ledger, context = workspace.reader()
        for record in ledger:
            if not record.complete:
                worker.stop(context.folder(record.key), 0)
    if folder.read().exit_code is None:
        folder.update(phase="ended", ended=now(), exit_code=int(ExitCode.INTERRUPTED))
