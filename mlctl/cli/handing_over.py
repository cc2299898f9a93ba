"""Supervisors: processes of their own that carry a run on without a terminal, and what a command does to hand it over."""

from __future__ import annotations

import os
import subprocess
import sys
import time

from mlctl.cli import elsewhere
from mlctl.cli.interrupting import Ending
from mlctl.cli.options import confirm, emit_json
from mlctl.cli.recording import Recorder
from mlctl.cli.request import Request, guarded, show_plan, show_verdicts
from mlctl.engine import rollback
from mlctl.engine.runs import RunFolder, Runs, now
from mlctl.engine.saved import file as planfile
from mlctl.types.diagnostic import ExitCode
from mlctl.types.interrupt import Manner
from mlctl.types.secret import Secrets
from mlctl.views.human.apply import ApplyView
from mlctl.views.json import plan as json_view
from mlctl.workspace import Workspace

WAIT_SECONDS = 3600.0  # for the lock of the state, of one that carries on: whoever hands over still has to save and end
_START_SECONDS = 60.0
_POLL_SECONDS = 0.05


def ending(workspace: Workspace, request: Request, recorder: Recorder | None, view: ApplyView | None) -> Ending:
    """How a command ends when it is asked to: a supervisor stops, anybody else lets go of what can go on alone."""
    stop = workspace.stop
    if recorder is None:
        return Ending(stop)
    if request.joined is not None:
        return Ending(stop, recorder.folder, Manner.STOP, before_leaving=lambda: recorder.cut_off(ExitCode.INTERRUPTED))

    def detach() -> str:
        supervise(
            workspace, recorder.folder, recorder.secrets, WAIT_SECONDS, rest=True, parallelism=request.parallelism
        )
        recorder.handed_over = True
        return joining(recorder.folder)

    return Ending(
        stop,
        recorder.folder,
        Manner.DETACH,
        detach if view is not None else None,
        view.pause if view is not None else lambda: None,
        view.resume if view is not None else lambda: None,
        lambda: recorder.cut_off(ExitCode.INTERRUPTED),
    )


def start_detached(workspace: Workspace, request: Request) -> int:
    """Plan, ask, and leave the rest to a supervisor. It looks again, under the lock, whether the plan still holds."""
    operation, saved = request.operation, request.saved
    ledger, context = workspace.reader()
    if saved is None:
        plan = operation.plan(request.project, ledger, context)
        workspace.digests.save()
        away = elsewhere.made_elsewhere(workspace, operation, plan, ledger, context)
        told = [*workspace.warnings, *elsewhere.told(away, operation)]
        show_plan(plan, told, operation.name, as_json=request.as_json)
        elsewhere.refuse(away, operation)
        show_verdicts(plan, request.project, ledger, context.prices, as_json=request.as_json)
        if not request.unhold:
            rollback.refuse_held(plan, ledger.held, guarded(workspace, ledger.held))
        if plan.empty:
            if request.agreed is not None:
                request.agreed(plan, ledger)
            return ExitCode.OK
        if not request.approved and not confirm(request.question, as_json=request.as_json):
            print("Nothing was changed.")
            return ExitCode.ERROR
        if request.agreed is not None:
            request.agreed(plan, ledger)
        saved = planfile.save(
            operation.name, plan, request.project, ledger, context.secrets, operation.extra(), context.prices
        )
    elif request.as_json:
        emit_json(json_view.header())
    folder = Runs(workspace.home).begin(operation.name, saved, detached=True, why=operation.why)
    waits = request.wait_seconds
    supervise(workspace, folder, context.secrets, waits, parallelism=request.parallelism, unhold=request.unhold)
    folder.let_go()
    return _told(folder, as_json=request.as_json)


def supervise(
    workspace: Workspace,
    folder: RunFolder,
    secrets: Secrets,
    wait_seconds: float,
    *,
    parallelism: int,
    rest: bool = False,
    unhold: bool = False,
) -> None:
    """Start a supervisor of a run and hand it the lock that is held. Sensitive values go by its environment alone.

    It waits so long for the lock of the state.
    """
    command = [sys.executable, "-m", "mlctl.cli.main", "apply", str(folder.plan_path), "-C", str(workspace.root)]
    command += ["-e", workspace.environment, "--supervise", f"{folder.id}:{folder.handle}"]
    command += ["--parallelism", str(parallelism), "--lock-timeout", f"{wait_seconds:.3f}s"]
    command += [*(["--rest"] if rest else []), *(["--unhold"] if unhold else [])]
    given = {
        f"MLCTL_VAR_{name.removeprefix('var.')}": value
        for name, value in secrets.values.items()
        if name.startswith("var.")
    }
    handle = os.open(folder.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
    try:
        process = subprocess.Popen(
            command,
            cwd=workspace.root,
            env={**os.environ, **given},
            stdin=subprocess.DEVNULL,
            stdout=handle,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=(folder.handle,),
        )
    finally:
        os.close(handle)
    folder.update(pid=process.pid, detached=True)


def joining(folder: RunFolder) -> str:
    """How to join a run."""
    return f"run {folder.id} · mlctl attach {folder.id}"


def _told(folder: RunFolder, *, as_json: bool) -> int:
    """Wait until the supervisor is at work, so that what it refuses is told here and not only in its log."""
    deadline = time.monotonic() + _START_SECONDS
    # One that has ended says so a moment before its process is gone.
    while folder.read().phase in ("starting", "ended") and folder.running and time.monotonic() < deadline:
        time.sleep(_POLL_SECONDS)
    about = folder.read()
    if not folder.running and about.exit_code != ExitCode.OK:
        sys.stderr.write(folder.log_path.read_text(errors="replace"))
        if about.exit_code is None:  # it ended before it could say how
            about = folder.update(phase="ended", ended=now(), exit_code=int(ExitCode.ERROR))
        return about.exit_code or ExitCode.ERROR
    if as_json:
        emit_json({"type": "run", **folder.summary()})
    else:
        print(joining(folder))
    return ExitCode.OK
