"""One step of an apply: held back, nothing to do, or decided again with everything known and done. What came of it is told."""

from __future__ import annotations

import time
import traceback
from dataclasses import replace

from mlctl.engine import secrecy
from mlctl.engine.applied import Run, Stop
from mlctl.engine.choice import choose, inputs_of, waits_for
from mlctl.engine.decide import with_metadata
from mlctl.engine.desired import as_input
from mlctl.engine.estimating import Foresight
from mlctl.engine.making import Making
from mlctl.estimate.limits import BUDGET
from mlctl.provider import Condition
from mlctl.spec.project import Project
from mlctl.types.change import Change, Reason
from mlctl.types.diagnostic import Diagnostic, MlctlError, system_refused
from mlctl.types.event import StepDetached, StepDone, StepFailed, StepGate, StepSkipped, StepStarted
from mlctl.types.state import Pending, Record

DETACHED = "job.detached"  # the code of a job that goes on without us


def step(run: Run, project: Project, change: Change) -> None:
    """One resource: nothing to do, held back, or done and recorded. Whatever goes wrong is told, and nothing is raised."""
    started = time.monotonic()
    try:
        _step(run, project, change, started)
    except Exception as error:
        tell_failure(run, change, error, time.monotonic() - started)


def _step(run: Run, project: Project, change: Change, started: float) -> None:
    address = change.address
    stops = run.stops(change.after)
    if not change.effective:
        record = run.session.ledger.get(change.key)
        if record is not None:
            _reuse(run, record, change)
        held = next((stop for stop in stops if stop.gate), None)
        if held is not None:  # a verdict holds through what stays as it is
            run.stopped[address] = held
        return
    if not stops and change.waits:
        stops = [Stop(address, change.waits)]
    if not stops and run.ctx.stop.is_set():
        stops = [Stop(address, "the apply was interrupted")]
    if stops:
        _skip(run, change, stops[0])
        return
    change, record = _carry_out(run, project, change)
    if record is None:
        _skip(run, change, Stop(address, change.waits))
    elif change.effective:
        run.live[address] = as_input(project.resources[address].kind, record)
        run.tell(StepDone(change, record, time.monotonic() - started))
        _judge(run, record)
    else:
        _reuse(run, record, change)
        run.tell(StepDone(change, record, time.monotonic() - started, reused=True))


def _skip(run: Run, change: Change, stop: Stop) -> None:
    run.stopped[change.address] = stop
    run.tell(StepSkipped(change, stop.because, stop.why))


def _carry_out(run: Run, project: Project, planned: Change) -> tuple[Change, Record | None]:
    """Decide again with everything known, and do it. No record when it turns out that it should not be tried now."""
    address, ledger = planned.address, run.session.ledger
    ctx = run.watched(address)
    desired, change = choose(project, address, inputs_of(project, address, run.live), ledger, ctx, run.asked)
    change = replace(change, moved_from=planned.moved_from)
    prior = ledger.get(desired.key)
    if planned.reason is Reason.PROMOTED and desired.key == planned.key:
        change = replace(planned, after=change.after)
    if change.waits:
        return change, None
    if prior is not None and not change.effective:
        if planned.reason is not Reason.MOVED:
            return change, prior
        return replace(planned, key=prior.key), _chosen(run, prior, change)
    if prior is not None and change.reason is Reason.METADATA:
        noted = with_metadata(project.resources[address].kind, prior, desired)
        noted = replace(noted, sequence=ledger.next_sequence(), after=waits_for(project, address))
        run.session.record(noted)
        return change, noted
    if run.account is not None and (left := run.account.left(str(address))) is not None:
        ctx = replace(ctx, settings={**ctx.settings, BUDGET: left})
    change = Foresight(ledger).of(change, project.resources[address].kind, desired, ctx)
    if run.account is not None:
        run.account.admit(change)
    run.tell(StepStarted(change))
    begun = time.monotonic()
    try:
        record = Making(run, project, desired, change, ctx).make(prior)
    except Exception:
        if run.account is not None:
            run.account.failed(change, time.monotonic() - begun)
        raise
    if run.account is not None:
        run.account.spent(change, record)
    return change, record


def _reuse(run: Run, record: Record, change: Change) -> None:
    """An object that is there already serves."""
    record = _chosen(run, record, change)
    run.live[record.key.address] = as_input(run.kinds(record.key.address.section), record)
    _judge(run, record)


def _chosen(run: Run, record: Record, change: Change) -> Record:
    """The record of an object that serves; when it is not the one chosen last, it becomes that."""
    if change.reason is Reason.CACHED:
        record = replace(record, sequence=run.session.ledger.next_sequence())
        run.session.record(record)
    return record


def _judge(run: Run, record: Record) -> None:
    """Tell a verdict, and hold the dependents back when it is not a pass."""
    if record.gate is not None:
        if not record.gate.open:
            run.stopped[record.key.address] = Stop(record.key.address, "its gate did not pass", gate=True)
        run.tell(StepGate(record.key.address, record.gate))


def tell_failure(run: Run, change: Change, error: Exception, seconds: float) -> None:
    """Tell a failure. What is neither an MlctlError nor the system's is a bug of the kind, and is told as one."""
    address = change.address
    if isinstance(error, MlctlError):
        found = tuple(replace(item, address=item.address or str(address)) for item in error.diagnostics)
        if any(item.code == DETACHED for item in found):
            run.stopped[address] = Stop(address, "it goes on without this command")
            run.tell(StepDetached(change, seconds))
            return
    elif isinstance(error, OSError):
        found = (system_refused(error, str(address)),)
    else:
        trace = "".join(traceback.format_exception(error))
        found = (
            Diagnostic(
                "bug.kind",
                f"{address}: {type(error).__name__}: {error}",
                trace,
                "this is a bug; please report it with the trace",
                address=str(address),
            ),
        )
    found = tuple(secrecy.told(item, run.ctx.secrets) for item in found)
    run.stopped[address] = Stop(address, "it failed")
    run.tell(StepFailed(change, found, seconds, _resumable(run, change)))


def _resumable(run: Run, change: Change) -> bool:
    """Whether the next apply can go on where this step stopped; no, when that cannot be found out."""
    record = run.session.ledger.get(change.key) if change.key_known else run.session.ledger.current(change.address)
    if record is None or record.pending is not Pending.APPLY:
        return False
    try:
        seen = run.kinds(change.address.section).read(record, run.ctx)
    except Exception:  # the failure itself is being told, and this one adds nothing to it
        return False
    return seen is not None and seen.condition is Condition.RESUMABLE
