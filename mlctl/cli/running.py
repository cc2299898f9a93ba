"""Plan, ask, apply, report: what every command that changes something has in common."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from dataclasses import dataclass, replace

from mlctl.cli import elsewhere
from mlctl.cli.handing_over import ending
from mlctl.cli.interrupting import interruptible
from mlctl.cli.options import confirm, emit_json
from mlctl.cli.recording import Recorder
from mlctl.cli.request import Request, aloud, guarded, show_plan, show_verdicts
from mlctl.cli.telling import tell
from mlctl.engine import priced, provenance, rollback
from mlctl.engine.applier import Applied
from mlctl.engine.runs import Runs, now
from mlctl.engine.saved import file as planfile
from mlctl.engine.saved import staleness
from mlctl.engine.store import Session
from mlctl.provider import Context
from mlctl.types.change import Mode, Plan
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Event
from mlctl.types.state import Held, State
from mlctl.views.human import apply as human_apply
from mlctl.views.human import result as human_result
from mlctl.views.human.style import wants_color
from mlctl.views.json import diagnostics as json_diagnostics
from mlctl.views.json import plan as json_view
from mlctl.workspace import Workspace


@dataclass
class _Work:
    """One such command under way."""

    workspace: Workspace
    request: Request
    begun: bool = False  # whether anything was shown: a stream of JSON lines then has to have its end
    applied: Applied | None = None
    recorder: Recorder | None = None


def run(workspace: Workspace, request: Request) -> int:
    """Hold the lock from plan to outcome, so that what was approved is what is applied. Gives the exit code."""
    work = _Work(workspace, request)
    try:
        code = _locked(work)
    except MlctlError as error:
        if work.applied is not None:  # all that could be was done, and only the state could not be written in the end
            work.applied.unsaved = tuple(error.diagnostics)
            return _ended(work, work.applied)
        recorder = work.recorder
        if recorder is None and request.joined is not None:
            recorder = Recorder(request.joined, workspace, workspace.context(State("")).secrets)
        if recorder is not None:
            recorder.fail(error)
        if not (request.as_json and work.begun):
            raise
        for item in error.diagnostics:
            emit_json(json_diagnostics.to_json(item))
        emit_json(summary(Applied(), error.exit_code))
        return error.exit_code
    except BaseException as error:
        if work.recorder is not None:
            stopped = isinstance(error, KeyboardInterrupt)
            work.recorder.cut_off(ExitCode.INTERRUPTED if stopped else ExitCode.BUG)
        raise
    return code if work.applied is None else _ended(work, work.applied)


def _ended(work: _Work, applied: Applied) -> int:
    """Write the run's end down, and tell it. Gives the exit code."""
    if work.recorder is not None:
        work.recorder.end(applied)
    with aloud():
        _conclude(work, applied)
    if work.request.joined is not None and work.request.operation.name == "retrain":
        from mlctl.cli.retraining import finish

        finish(work.workspace, applied.exit_code)  # whoever began it is gone
    return applied.exit_code


def _locked(work: _Work) -> int:
    workspace, request = work.workspace, work.request
    operation, joined = request.operation, request.joined
    with workspace.session(
        operation.name, wait_seconds=request.wait_seconds, run=joined.id if joined else "", waiting=_waiting
    ) as (session, context):
        plan = _planned(work, session, context)
        workspace.digests.save()
        work.begun = True
        with aloud():
            changed = () if request.saved is None else priced.differing(request.saved.plan, plan)
            away = elsewhere.made_elsewhere(workspace, operation, plan, session.ledger, context)
            told = [*workspace.warnings, *changed, *elsewhere.told(away, operation)]
            show_plan(plan, told, operation.name, as_json=request.as_json)
        elsewhere.refuse(away, operation)
        _refuse(work, plan, session, context)
        moves = any(rollback.sets(change) for change in plan)  # a build that is chosen again is no change, and yet one
        asks = moves if operation.target else not plan.empty
        if asks and not request.approved and not confirm(request.question, as_json=request.as_json):
            print("Nothing was changed.")
            return ExitCode.ERROR
        if request.agreed is not None:
            request.agreed(plan, session.ledger)
        if moves or joined is not None:
            work.recorder = _recorder(work, plan, session, context)
        _set_hold(work, session)
        work.applied = _carried_out(work, plan, session, context)
        if work.recorder is not None:
            work.recorder.used(session.ledger)
        if operation.selection.mode is Mode.DESTROY and not list(session.ledger) and session.ledger.held is not None:
            session.hold(None)  # there is nothing left that could be held
    return ExitCode.OK


def _planned(work: _Work, session: Session, context: Context) -> Plan:
    """The plan under the lock; of a saved one, that it still is what was reviewed."""
    request, ledger = work.request, session.ledger
    saved, operation = request.saved, request.operation
    if saved is None:
        return operation.plan(request.project, ledger, context)
    if not request.rest:
        staleness.check_serial(saved, ledger.lineage, ledger.serial)
        plan = operation.plan(request.project, ledger, context)
        staleness.check_same(saved, plan, request.project, ledger)
        return plan
    begun = {address for address in operation.selection.replace if staleness.begun(saved, address, ledger)}
    left = tuple(address for address in operation.selection.replace if address not in begun)
    rest = replace(operation, selection=replace(operation.selection, replace=left))
    plan = rest.plan(request.project, ledger, context)
    staleness.check_rest(saved, plan)
    return plan


def _refuse(work: _Work, plan: Plan, session: Session, context: Context) -> None:
    """What may not be done although it could be. Nothing is touched yet."""
    operation = work.request.operation
    show_verdicts(plan, work.request.project, session.ledger, context.prices, as_json=work.request.as_json)
    if operation.name in ("apply", "retrain", "promote") and not work.request.unhold:
        rollback.refuse_held(plan, session.ledger.held, guarded(work.workspace, session.ledger.held))


def _set_hold(work: _Work, session: Session) -> None:
    """Before the first step: a rollback that is cut off is not undone by the next retraining either."""
    request, operation = work.request, work.request.operation
    if operation.target and work.recorder is not None:
        session.hold(Held(operation.target, operation.why, provenance.who(), now()))
    elif request.unhold and session.ledger.held is not None:
        session.hold(None)


def _recorder(work: _Work, plan: Plan, session: Session, context: Context) -> Recorder:
    """The run of this command, with its plan and the first lines of its events."""
    request, workspace = work.request, work.workspace
    if request.joined is not None:
        folder = request.joined
    else:
        operation = request.operation
        saved = request.saved or planfile.save(
            operation.name, plan, request.project, session.ledger, context.secrets, operation.extra(), context.prices
        )
        folder = Runs(workspace.home).begin(operation.name, saved, why=operation.why)
    recorder = Recorder(folder, workspace, context.secrets)
    recorder.begin(plan)
    return recorder


def _carried_out(work: _Work, plan: Plan, session: Session, context: Context) -> Applied:
    request, recorder = work.request, work.recorder
    view = None if request.as_json else human_apply.ApplyView()
    if view is not None:
        with aloud():
            print("" if plan.empty else "\n", end="", flush=True)

    def show(event: Event) -> None:
        if recorder is not None:
            recorder.tell(event)
        with aloud():
            if view is None:
                emit_json(json_view.event_json(event))
            else:
                view(event)

    with interruptible(ending(work.workspace, request, recorder, view)), view or nullcontext():
        name = "" if recorder is None else recorder.folder.name
        return request.operation.carry_out(
            plan, request.project, work.workspace.kind, session, context, show, request.parallelism, name
        )


def _waiting(error: MlctlError) -> None:
    with aloud():
        print(f"waiting: {error.diagnostics[0].summary}", file=sys.stderr, flush=True)


def _conclude(work: _Work, applied: Applied) -> None:
    """The result for whoever asked."""
    request, recorder = work.request, work.recorder
    tell(applied.unsaved, as_json=request.as_json)
    if request.as_json:
        for line in json_view.outputs(applied):
            emit_json(line)
        emit_json(summary(applied, applied.exit_code))
    elif recorder is not None and recorder.handed_over:
        print(f"\nThe run goes on without this terminal: run {recorder.folder.id} · mlctl attach {recorder.folder.id}")
    elif recorder is not None or applied.exit_code is not ExitCode.OK:
        print(human_result.render(applied, request.again, color=wants_color(sys.stdout)), flush=True)


def summary(applied: Applied, code: ExitCode) -> dict[str, object]:
    """The last line of a stream of JSON lines."""
    return {
        "type": "apply_summary",
        "exit_code": int(code),
        "seconds": round(applied.seconds, 3),
        **human_result.counts(applied),
    }
