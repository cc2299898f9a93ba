"""Carry a plan out: independent steps in parallel, each with its intent and its outcome in the journal."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from dataclasses import replace

from mlctl.engine.applied import Applied, Emit, Run, Take
from mlctl.engine.budget import Account
from mlctl.engine.choice import Asked
from mlctl.engine.moves import moves
from mlctl.engine.protection import problem
from mlctl.engine.removal import doomed
from mlctl.engine.selection import scope
from mlctl.engine.steps import step, tell_failure
from mlctl.engine.store import Session
from mlctl.engine.walk import walk
from mlctl.provider import Context, Kind
from mlctl.spec.project import Project
from mlctl.types.address import ObjectKey
from mlctl.types.change import Action, Change, Plan, Reason
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import StepDone, StepSkipped, StepStarted
from mlctl.types.state import Pending, Record

__all__ = ["Applied", "Emit", "apply", "destroy"]


def apply(
    plan: Plan,
    project: Project,
    kinds: Callable[[str], Kind],
    session: Session,
    ctx: Context,
    emit: Emit,
    *,
    parallelism: int = 4,
    take: Take | None = None,
    name: str = "",
) -> Applied:
    """Make the plan so. A failure skips its dependents only; a failed gate likewise. Raises nothing of a step's own.

    `kinds` gives the kind of a section, `take` a build that the plan takes over from elsewhere. `ctx.stop` ends it early:
    steps under way are asked to stop, no further one is begun. `name` is the run's, by which its steps are counted together.
    """
    started = time.monotonic()
    selection = plan.selection
    steps = {change.address: change for change in plan.changes if change.action is not Action.DELETE}
    looked = scope(project, session.ledger, selection)
    moves(project, session.ledger).carry_out(session)
    asked = Asked(looked.replace, unattended=selection.unattended)
    account = Account(plan, project, session.ledger, ctx.prices, name)
    run = Run(kinds, session, replace(ctx, origins=session.ledger.origins), emit, asked, take, account)
    before = {address: change.after & steps.keys() for address, change in steps.items()}
    walk(steps, before, lambda change: step(run, project, change), lambda change: change.effective, ctx, parallelism)
    wanted = {address: run.live[address].key if address in run.live else None for address in steps}
    _remove(run, doomed(project, session.ledger, wanted, looked.gone), project, parallelism)
    return _ended(run, started)


def destroy(
    plan: Plan, kinds: Callable[[str], Kind], session: Session, ctx: Context, emit: Emit, *, parallelism: int = 4
) -> Applied:
    """Remove what the plan names, dependents first."""
    run = Run(kinds, session, replace(ctx, origins=session.ledger.origins), emit)
    started = time.monotonic()
    records = [record for change in plan.changes if (record := session.ledger.get(change.key)) is not None]
    _remove(run, records, None, parallelism)
    return _ended(run, started)


def _ended(run: Run, started: float) -> Applied:
    applied = run.applied
    applied.interrupted = run.ctx.stop.is_set() and bool(applied.failed or applied.skipped or applied.detached)
    applied.seconds = time.monotonic() - started
    return applied


def _remove(run: Run, records: Collection[Record], project: Project | None, parallelism: int) -> None:
    """Delete objects in the given order, which has each after those that were made with it or waited for it."""
    place = {record.key: number for number, record in enumerate(records)}
    users = run.session.ledger.users(place)
    before: dict[ObjectKey, set[ObjectKey]] = {key: found & place.keys() for key, found in users.items()}
    for record in records:
        for other in records if record.after else ():
            if other.key.address in record.after and place[record.key] < place[other.key]:
                before[other.key].add(record.key)
    walk(
        {record.key: record for record in records},
        before,
        lambda record: _delete(run, record, users[record.key], project),
        lambda record: True,
        run.ctx,
        parallelism,
    )


def _delete(run: Run, record: Record, users: Collection[ObjectKey], project: Project | None) -> None:
    """One removal: not while something is left that was made with the object."""
    address = record.key.address
    change = Change(Action.DELETE, record.key, _reason(record, project))
    left = sorted(key for key in users if run.session.ledger.get(key) is not None)
    if left or run.ctx.stop.is_set():
        why = "it is still used" if left else "the apply was interrupted"
        run.tell(StepSkipped(change, left[0].address if left else address, why))
        return
    started = time.monotonic()
    try:
        if record.protected:  # its successor's key was not known when the plan was made
            raise MlctlError([problem(record)], ExitCode.POLICY)
        kind = run.kinds(address.section)
        run.tell(StepStarted(change))
        run.session.record(replace(record, pending=Pending.DELETE))
        kind.delete(record, run.watched(address))
        run.session.forget(record.key)
    except Exception as error:
        tell_failure(run, change, error, time.monotonic() - started)
    else:
        run.tell(StepDone(change, None, time.monotonic() - started))


def _reason(record: Record, project: Project | None) -> Reason:
    if project is None:
        return Reason.REQUESTED
    return Reason.SUPERSEDED if record.key.address in project.resources else Reason.REMOVED
