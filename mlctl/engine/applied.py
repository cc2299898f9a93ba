"""What came of an apply, and what its steps share while it is under way."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace

from mlctl.engine import secrecy
from mlctl.engine.budget import Account
from mlctl.engine.choice import Asked
from mlctl.engine.store import Session
from mlctl.provider import Context, Input, Kind
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import Diagnostic, ExitCode
from mlctl.types.event import (
    Event,
    Progress,
    StepDetached,
    StepDone,
    StepFailed,
    StepGate,
    StepProgress,
    StepSkipped,
)
from mlctl.types.state import Record

Emit = Callable[[Event], None]
Take = Callable[[ObjectKey, Context], Record]  # puts a build that is on offer into the environment of a context


@dataclass
class Applied:
    """What came of an apply, by address or, for removals, by key."""

    done: list[StepDone] = field(default_factory=list)
    failed: list[StepFailed] = field(default_factory=list)
    skipped: list[StepSkipped] = field(default_factory=list)
    gates: list[StepGate] = field(default_factory=list)
    detached: list[StepDetached] = field(default_factory=list)
    seconds: float = 0.0
    interrupted: bool = False
    unsaved: tuple[
        Diagnostic, ...
    ] = ()  # why the state could not be brought up to date in the end; the journal has it all

    @property
    def exit_code(self) -> ExitCode:
        """The exit code that says it best: interrupted, ended by the budget, failed in part or as a whole, left waiting, held by a
        gate, done."""
        if self.interrupted:
            return ExitCode.INTERRUPTED
        if any(diagnostic.code.startswith("bug.") for step in self.failed for diagnostic in step.diagnostics):
            return ExitCode.BUG
        if (
            self.failed
            and not self.unsaved
            and all(item.code.startswith("budget.") for step in self.failed for item in step.diagnostics)
        ):
            return ExitCode.POLICY
        if self.failed or self.unsaved:
            return ExitCode.PARTLY_APPLIED if any(not step.reused for step in self.done) else ExitCode.ERROR
        if any(step.change.waits for step in self.skipped):
            return ExitCode.ERROR
        return ExitCode.GATE_FAILED if any(not gate.gate.open for gate in self.gates) else ExitCode.OK


@dataclass(frozen=True, slots=True)
class Stop:
    """Why a step and what depends on it must not go on. A verdict also holds through what stays as it is."""

    because: Address
    why: str
    gate: bool = False


@dataclass
class Run:
    """One apply under way."""

    kinds: Callable[[str], Kind]
    session: Session
    ctx: Context
    emit: Emit
    asked: Asked = field(default_factory=Asked)
    take: Take | None = None
    account: Account | None = None  # of the project's budget
    applied: Applied = field(default_factory=Applied)
    live: dict[Address, Input] = field(default_factory=dict)
    stopped: dict[Address, Stop] = field(default_factory=dict)
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
                case StepDetached():
                    self.applied.detached.append(event)
            self.emit(event)

    def watched(self, address: Address) -> Context:
        """The context of one step: its progress goes out under its address."""

        def progress(item: Progress) -> None:
            item = secrecy.progress(item, self.ctx.secrets)
            self.tell(StepProgress(address, item.message, item.done, item.total, item.unit, item.metrics))

        return replace(self.ctx, progress=progress)

    def stops(self, after: Collection[Address]) -> list[Stop]:
        """What must not be built on among some addresses, in their order."""
        return [self.stopped[found] for found in sorted(set(after) & self.stopped.keys())]
