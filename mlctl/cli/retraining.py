"""Train again if there is a reason, within its bound, with the record of why and of what came of it; and follow the rollout."""

from __future__ import annotations

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace

from mlctl.cli.options import emit_json
from mlctl.cli.request import Request
from mlctl.cli.running import run
from mlctl.engine import retraining
from mlctl.engine.ledger import Ledger
from mlctl.engine.provenance import who
from mlctl.engine.retraining import Intent
from mlctl.engine.runs import Runs
from mlctl.files.lock import FileLock
from mlctl.types.address import Address
from mlctl.types.change import Plan
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.interrupt import Manner
from mlctl.workspace import Workspace

_POLL_SECONDS = 0.2


@dataclass(frozen=True)
class Asked:
    """What `mlctl retrain` was asked for, beside the request."""

    trainings: tuple[Address, ...]
    on_alarm: bool = False
    wait: bool = False
    max_seconds: float | None = None


@contextmanager
def alone(workspace: Workspace, wait_seconds: float) -> Iterator[None]:
    """Two retrainings do not take up the same alarm. Raises MlctlError, exit code 6, when another one is at work."""
    workspace.home.mkdir(parents=True, exist_ok=True)
    lock = FileLock(workspace.home / retraining.LOCK_FILE)
    deadline = time.monotonic() + wait_seconds
    while not lock.acquire():
        if time.monotonic() >= deadline:
            raise MlctlError.of(
                "retrain.running",
                "another retraining is at work",
                "it holds the lock of this environment's retrainings",
                "wait for it (`mlctl attach`), or give `--lock-timeout`",
                exit_code=ExitCode.LOCKED,
            )
        time.sleep(_POLL_SECONDS)
    try:
        yield
    finally:
        lock.release()


def taken_up(workspace: Workspace, asked: Asked) -> tuple[Address, ...]:
    """The trainings there is a reason for: with `--on-alarm` those that an alarm waits for, and what a kill left undone."""
    left = retraining.read(workspace.home)
    undone = () if left is None else tuple(Address.parse(name) for name in left.trainings)
    if not asked.on_alarm:
        return tuple(dict.fromkeys((*undone, *asked.trainings)))
    named = {Address.parse(name) for name in retraining.waiting(workspace.home)}
    return tuple(dict.fromkeys((*undone, *(item for item in asked.trainings if item in named))))


def retrain(workspace: Workspace, request: Request, asked: Asked) -> int:
    """Note what is to be done and why, do it, note what came of it. Gives the exit code."""
    bound = _bound(workspace, asked)
    try:
        code = run(workspace, noted(workspace, request, asked))
    finally:
        if bound is not None:
            bound.cancel()
    code = ExitCode.POLICY if bound is not None and bound.reached else code
    conclude(workspace, request, code)
    if asked.wait and code in (ExitCode.OK, ExitCode.GATE_FAILED):
        from mlctl.cli.retraining_rollouts import follow

        return follow(workspace, request, asked.max_seconds, code)
    return code


def conclude(workspace: Workspace, request: Request, code: int) -> None:
    """Note what came of it and tell it, unless a supervisor goes on with it: then that does."""
    if not any(item.read().operation == request.operation.name for item in Runs(workspace.home).running()):
        show(finish(workspace, code), as_json=request.as_json)


def noted(workspace: Workspace, request: Request, asked: Asked) -> Request:
    """The request, with a note of it kept once it is agreed to: under the lock, and before anything is done."""

    def agreed(plan: Plan, ledger: Ledger) -> None:
        _within(plan, asked)
        _start(workspace, request, asked, ledger, plan)

    return replace(request, agreed=agreed)


def _start(workspace: Workspace, request: Request, asked: Asked, ledger: Ledger, plan: Plan) -> None:
    """Keep the intent, unless an earlier one is to be seen through. Raises MlctlError when it cannot be kept."""
    left = retraining.read(workspace.home)
    alarms = retraining.waiting(workspace.home)
    wanted = tuple(str(item) for item in asked.trainings)
    changes = {str(change.address): change for change in plan}
    evaluations = [item for item in request.project.order if item.section == retraining.EVALUATIONS]
    fresh = Intent(
        at=retraining.now(),
        trigger="alarm" if asked.on_alarm else "person" if sys.stdin.isatty() else "unattended",
        trainings=wanted,
        alarms={name: tuple(item.id for item in alarms.get(name, ())) for name in wanted},
        before=retraining.builds(ledger, asked.trainings),
        gates=retraining.builds(ledger, evaluations),
        changes={name: retraining.told(changes.get(name)) for name in wanted},
        by=who(),
    )
    if left is not None:
        print(f"going on with the retraining of {left.at[:19]}, which was cut off", file=sys.stderr)
        fresh = _joined(left, fresh)
    try:
        retraining.begin(workspace.home, fresh)
    except OSError as error:
        raise MlctlError.of(
            "retrain.not-noted",
            "why it trains could not be noted",
            f"{workspace.home}: {error.strerror or error}",
            "make room on the disk; nothing was begun",
        ) from None


def _joined(left: Intent, fresh: Intent) -> Intent:
    """What was begun, and what is asked for beside that. What was in use is what was in use when it began."""
    names = tuple(dict.fromkeys((*left.trainings, *fresh.trainings)))
    alarms = {
        name: tuple(
            dict.fromkeys(
                (*left.alarms.get(name, ()), *(fresh.alarms.get(name, ()) if name not in left.trainings else ()))
            )
        )
        for name in names
    }
    return Intent(
        at=left.at, trigger=left.trigger, trainings=names, alarms=alarms, before={**fresh.before, **left.before},
        gates={**fresh.gates, **left.gates}, changes={**fresh.changes, **left.changes}, begun=left.begun, by=left.by,
    )  # fmt: skip


def finish(workspace: Workspace, code: int) -> list[Decision]:
    """Keep what came of it. A ledger that cannot be written is told: the intent stays, and the next retraining concludes it."""
    try:
        return retraining.conclude(workspace.home, workspace.ledger(), int(code))
    except OSError as error:
        print(
            f"warning: what came of it could not be noted: {error}; the next `mlctl retrain` does that", file=sys.stderr
        )
        return []


def show(made: list[Decision], *, as_json: bool) -> None:
    """What was decided, for whoever asked."""
    for item in made if as_json else ():
        emit_json({"type": "retrain", **retraining.dumped(item)})
    if not as_json and made:
        print("\n" + "\n".join(retraining.text(made)), flush=True)


class _Bound(threading.Timer):
    """Asks running steps to save and end when the time is over."""

    def __init__(self, seconds: float, workspace: Workspace) -> None:
        super().__init__(seconds, self._reach)
        self.daemon = True
        self.reached = False
        self._workspace = workspace

    def _reach(self) -> None:
        self.reached = True
        self._workspace.stop.request(Manner.STOP)


def _bound(workspace: Workspace, asked: Asked) -> _Bound | None:
    if asked.max_seconds is None:
        return None
    timer = _Bound(asked.max_seconds, workspace)
    timer.start()
    return timer


def _within(plan: Plan, asked: Asked) -> None:
    """Raise MlctlError, exit code 4, for a plan that is foreseen to take longer than it may. Nothing was begun then."""
    least = sum(
        change.estimate.seconds.low
        for change in plan
        if change.effective and change.estimate is not None and change.estimate.seconds is not None
    )
    if asked.max_seconds is not None and least > asked.max_seconds:
        raise MlctlError.of(
            "retrain.too-long",
            f"it is foreseen to take {least / 3600:.2g} hours at the least",
            f"`--max-hours {asked.max_seconds / 3600:g}` does not let it take so long",
            "give it more time, or less to do; see the estimate in `mlctl plan`",
            exit_code=ExitCode.POLICY,
        )
