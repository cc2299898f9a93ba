"""Carry a plan out: independent steps in parallel, each with its intent and its outcome in the journal."""

from __future__ import annotations

import heapq
import threading
import time
import traceback
from collections.abc import Callable, Collection, Hashable, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field, replace
from typing import TypeVar

from mlctl.engine import provenance
from mlctl.engine.decide import decide, with_metadata
from mlctl.engine.desired import as_input, desire
from mlctl.engine.ledger import Ledger
from mlctl.engine.planner import doomed
from mlctl.engine.store import Session
from mlctl.provider import Condition, Context, Desired, Input, Kind, Spec
from mlctl.spec.project import Project
from mlctl.types.address import Address
from mlctl.types.change import Action, Change, EdgeKind, Plan, Reason
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError, system_refused
from mlctl.types.event import Event, Progress, StepDone, StepFailed, StepGate, StepProgress, StepSkipped, StepStarted
from mlctl.types.state import Pending, Record, Use

K = TypeVar("K", bound=Hashable)
T = TypeVar("T")
Emit = Callable[[Event], None]


@dataclass
class Applied:
    """What came of an apply, by address or, for removals, by key."""

    done: list[StepDone] = field(default_factory=list)
    failed: list[StepFailed] = field(default_factory=list)
    skipped: list[StepSkipped] = field(default_factory=list)
    gates: list[StepGate] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that says it best: interrupted, failed in part or as a whole, held by a gate, done."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if any(diagnostic.code.startswith("bug.") for step in self.failed for diagnostic in step.diagnostics):
            return ExitCode.BUG
        if self.failed:
            return ExitCode.PARTLY_APPLIED if any(not step.reused for step in self.done) else ExitCode.ERROR
        return ExitCode.GATE_FAILED if any(not gate.gate.passed for gate in self.gates) else ExitCode.OK


@dataclass
class _Run:
    """One apply under way."""

    kinds: Callable[[str], Kind]
    session: Session
    ctx: Context
    emit: Emit
    applied: Applied = field(default_factory=Applied)
    live: dict[Address, Input] = field(default_factory=dict)
    stopped: dict[Address, tuple[Address, str]] = field(
        default_factory=dict
    )  # what must not go on: because of whom, and why
    lock: threading.RLock = field(default_factory=threading.RLock)

    def tell(self, event: Event) -> None:
        """Hand an event on, one at a time, and remember those that are outcomes."""
        with self.lock:
            match event:
                case StepDone():
                    self.applied.done.append(event)
                case StepFailed():
                    self.applied.failed.append(event)
                case StepSkipped():
                    self.applied.skipped.append(event)
                case StepGate():
                    self.applied.gates.append(event)
            self.emit(event)

    def watched(self, address: Address) -> Context:
        """The context of one step: its progress goes out under its address."""

        def progress(item: Progress) -> None:
            self.tell(StepProgress(address, item.message, item.done, item.total, item.unit, item.metrics))

        return replace(self.ctx, progress=progress)


def apply(
    plan: Plan,
    project: Project,
    kinds: Callable[[str], Kind],
    session: Session,
    ctx: Context,
    emit: Emit,
    *,
    parallelism: int = 4,
) -> Applied:
    """Make the plan so. A failure skips its dependents only; a failed gate likewise. Raises nothing of a step's own.

    `kinds` gives the kind of a section. `ctx.stop` ends it early: steps under way are asked to stop, no further one is begun.
    """
    run = _Run(kinds, session, ctx, emit)
    started = time.monotonic()
    steps = {change.address: change for change in plan.changes if change.action is not Action.DELETE}
    before = {address: set(change.after & steps.keys()) for address, change in steps.items()}
    _walk(steps, before, lambda change: _step(run, project, change), lambda change: change.effective, ctx, parallelism)
    wanted = {address: run.live[address].key if address in run.live else None for address in steps}
    _remove(run, doomed(project, session.ledger, wanted, plan.targets), project, parallelism)
    return _ended(run, started)


def destroy(
    plan: Plan, kinds: Callable[[str], Kind], session: Session, ctx: Context, emit: Emit, *, parallelism: int = 4
) -> Applied:
    """Remove what the plan names, dependents first."""
    run = _Run(kinds, session, ctx, emit)
    started = time.monotonic()
    records = [record for change in plan.changes if (record := session.ledger.get(change.key)) is not None]
    _remove(run, records, None, parallelism)
    return _ended(run, started)


def _ended(run: _Run, started: float) -> Applied:
    run.applied.interrupted = run.ctx.stop.is_set() and bool(run.applied.failed or run.applied.skipped)
    run.applied.seconds = time.monotonic() - started
    return run.applied


def _walk(
    steps: Mapping[K, T],
    before: dict[K, set[K]],
    do: Callable[[T], None],
    slow: Callable[[T], bool],
    ctx: Context,
    parallelism: int,
) -> None:
    """Do each step once those before it are done; slow ones in threads, the others at once. Steps keep the given order where they may."""
    after: dict[K, list[K]] = {key: [] for key in steps}
    for key, earlier in before.items():
        for found in earlier:
            after[found].append(key)
    place = {key: number for number, key in enumerate(steps)}
    keys = list(steps)
    ready = [place[key] for key in steps if not before[key]]
    heapq.heapify(ready)
    running: dict[Future[None], K] = {}

    def finish(key: K) -> None:
        for later in after[key]:
            before[later].discard(key)
            if not before[later]:
                heapq.heappush(ready, place[later])

    with ThreadPoolExecutor(max_workers=parallelism, thread_name_prefix="mlctl-step") as pool:
        while ready or running:
            while ready and len(running) < parallelism:
                key = keys[heapq.heappop(ready)]
                if slow(steps[key]) and not ctx.stop.is_set():
                    running[pool.submit(do, steps[key])] = key
                else:
                    do(steps[key])
                    finish(key)
            if running:
                done, _ = wait(running, return_when=FIRST_COMPLETED)
                for future in done:
                    finish(running.pop(future))
                    future.result()


def _step(run: _Run, project: Project, change: Change) -> None:
    """One resource: nothing to do, held back, or done and recorded. Whatever goes wrong is told, and nothing is raised."""
    started = time.monotonic()
    try:
        _attempt(run, project, change, started)
    except Exception as error:
        _fail(run, change, error, time.monotonic() - started)


def _attempt(run: _Run, project: Project, change: Change, started: float) -> None:
    address = change.address
    if not change.effective:
        record = run.session.ledger.get(change.key)
        if record is not None:
            _reuse(run, record, change)
        return
    stops = [run.stopped[found] for found in sorted(change.after & run.stopped.keys())]
    if run.ctx.stop.is_set():
        stops = [*stops, (address, "the apply was interrupted")]
    if stops:
        run.stopped[address] = stops[0]
        run.tell(StepSkipped(change, *stops[0]))
        return
    resource = project.resources[address]
    inputs = {found: run.live[found] for found, kinds in project.edges[address].items() if EdgeKind.INPUT in kinds}
    change, record = _carry_out(run, resource.kind, resource.spec, address, inputs, change)
    if change.effective:
        run.live[address] = as_input(resource.kind, record)
        run.tell(StepDone(change, record, time.monotonic() - started))
        _judge(run, record)
    else:
        _reuse(run, record, change)
        run.tell(StepDone(change, record, time.monotonic() - started, reused=True))


def _carry_out(
    run: _Run, kind: Kind, spec: Spec, address: Address, inputs: Mapping[Address, Input], planned: Change
) -> tuple[Change, Record]:
    """Decide again with everything known, and do it: intent, tool, outcome."""
    ctx, session = run.watched(address), run.session
    desired = desire(kind, address, spec, inputs, ctx)
    change = replace(decide(kind, desired, session.ledger, ctx), after=planned.after)
    prior = session.ledger.get(desired.key)
    if prior is not None and not change.effective:
        return change, prior
    if prior is not None and change.reason is Reason.METADATA:
        record = replace(with_metadata(kind, prior, desired), sequence=session.ledger.next_sequence())
        session.record(record)
        return change, record
    run.tell(StepStarted(change))
    started = time.monotonic()
    intent = _intent(session.ledger, desired, prior)
    session.record(intent)
    outcome = kind.apply(desired, prior, ctx)
    facts = {
        **provenance.of(ctx.root),
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "seconds": round(time.monotonic() - started, 3),
    }
    record = replace(
        intent, id=outcome.id, spec=dict(desired.values), uses=_uses(desired), outputs=dict(outcome.outputs), gate=outcome.gate, pending=None,
        sequence=session.ledger.next_sequence(), provenance=facts,
    )  # fmt: skip
    session.record(record)
    return change, record


def _intent(ledger: Ledger, desired: Desired, prior: Record | None) -> Record:
    """The record of a step that begins: what is there stays known, and so does what it was made with."""
    if prior is None:
        parts = {name: part for name, part in desired.parts.items() if isinstance(part, str)}
        return Record(
            desired.key,
            None,
            dict(desired.values),
            parts,
            _uses(desired),
            pending=Pending.APPLY,
            sequence=ledger.next_sequence(),
        )
    uses = {use.key: use for use in (*prior.uses, *_uses(desired))}
    return replace(prior, uses=tuple(uses.values()), pending=Pending.APPLY)


def _uses(desired: Desired) -> tuple[Use, ...]:
    return tuple(Use(item.key, item.digest) for _, item in sorted(desired.inputs.items()) if isinstance(item, Input))


def _reuse(run: _Run, record: Record, change: Change) -> None:
    """An object that is there already serves; when it is not the one chosen last, it becomes that."""
    if change.reason is Reason.CACHED:
        record = replace(record, sequence=run.session.ledger.next_sequence())
        run.session.record(record)
    run.live[record.key.address] = as_input(run.kinds(record.key.address.section), record)
    _judge(run, record)


def _judge(run: _Run, record: Record) -> None:
    """Tell a verdict, and hold the dependents back when it is not a pass."""
    if record.gate is not None:
        if not record.gate.passed:
            run.stopped[record.key.address] = (record.key.address, "its gate did not pass")
        run.tell(StepGate(record.key.address, record.gate))


def _remove(run: _Run, records: Collection[Record], project: Project | None, parallelism: int) -> None:
    """Delete objects, each after those that were made with it."""
    keys = {record.key for record in records}
    users = run.session.ledger.users(keys)

    def remove(record: Record) -> None:
        replaced = project is not None and record.key.address in project.resources
        change = Change(
            Action.DELETE,
            record.key,
            Reason.SUPERSEDED if replaced else Reason.REMOVED if project is not None else Reason.REQUESTED,
        )
        left = sorted(key for key in users[record.key] if run.session.ledger.get(key) is not None)
        if left or run.ctx.stop.is_set():
            run.tell(
                StepSkipped(
                    change,
                    left[0].address if left else record.key.address,
                    "it is still used" if left else "the apply was interrupted",
                )
            )
            return
        started = time.monotonic()
        try:
            kind = run.kinds(record.key.address.section)
            run.tell(StepStarted(change))
            run.session.record(replace(record, pending=Pending.DELETE))
            kind.delete(record, run.watched(record.key.address))
            run.session.forget(record.key)
        except Exception as error:
            _fail(run, change, error, time.monotonic() - started)
        else:
            run.tell(StepDone(change, None, time.monotonic() - started))

    _walk(
        {record.key: record for record in records},
        {key: found & keys for key, found in users.items()},
        remove,
        lambda record: True,
        run.ctx,
        parallelism,
    )


def _fail(run: _Run, change: Change, error: Exception, seconds: float) -> None:
    """Tell a failure. What is neither an MlctlError nor the system's is a bug of the kind, and is told as one."""
    address = change.address
    if isinstance(error, MlctlError):
        found = tuple(replace(item, address=item.address or str(address)) for item in error.diagnostics)
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
    run.stopped[address] = (address, "it failed")
    run.tell(StepFailed(change, found, seconds, _resumable(run, change)))


def _resumable(run: _Run, change: Change) -> bool:
    """Whether the next apply can go on where this step stopped; no, when that cannot be found out."""
    record = run.session.ledger.get(change.key) if change.key_known else run.session.ledger.current(change.address)
    if record is None or record.pending is not Pending.APPLY:
        return False
    try:
        seen = run.kinds(change.address.section).read(record, run.ctx)
    except Exception:  # the failure itself is being told, and this one adds nothing to it
        return False
    return seen is not None and seen.condition is Condition.RESUMABLE
