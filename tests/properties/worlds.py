"""Random projects over the fake tool, and the invariants that every history must keep."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from mlctl.engine import applier, planner, refresh
from mlctl.engine.applier import Applied
from mlctl.engine.approve import approve
from mlctl.engine.journal import Entry
from mlctl.engine.ledger import Ledger
from mlctl.engine.moves import moves
from mlctl.engine.store import LocalStore, Session
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Kind
from mlctl.spec.graph import Graph, order
from mlctl.spec.project import Owner, Project, Resource
from mlctl.spec.suggest import Suggestions
from mlctl.testing.fake import Crash, FakeObject, FakeSpec, FakeTool, fake_kinds
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Mode, Plan, Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record
from mlctl.types.value import digest

EVERYTHING = Selection()
Blocks = dict[str, dict[str, Any]]
Moved = tuple[tuple[Address, Address], ...]
Imports = Mapping[Address, str]


@dataclass
class FaultyLog:
    """A journal at whose lines the process dies: before the line is durable, or right after."""

    log: Any
    tool: FakeTool
    faults: dict[int, str]
    lines: int = 0

    def append(self, entry: Entry) -> None:
        """Append, or die."""
        with self.tool.lock:
            if self.tool.dead:
                raise Crash
            fault = self.faults.get(self.lines)
            self.lines += 1
            if fault == "crash-before":
                self.tool.crash()
            self.log.append(entry)
            if fault == "crash-after":
                self.tool.crash()


@dataclass
class World:
    """A folder with a state, a tool, and what is applied to both."""

    root: Path
    tool: FakeTool = field(default_factory=FakeTool)
    journal_faults: dict[int, str] = field(default_factory=dict)
    lost: set[str] = field(default_factory=set)  # what somebody took away; nobody looks at builds that are only kept

    def __post_init__(self) -> None:
        self.home = self.root / "home"
        self.kinds: dict[str, Kind] = {kind.section: kind for kind in fake_kinds(self.tool)}
        self.tool.on_crash = self._photograph

    def project(self, blocks: Blocks, moved: Moved = (), imports: Imports | None = None) -> Project:
        """The typed project of blocks by address."""
        specs = {Address.parse(name): FakeSpec.model_validate(block) for name, block in blocks.items()}
        graph = Graph(specs.keys(), Suggestions())
        graph.add(specs, {Address.parse(name): block for name, block in blocks.items() if "${" in json.dumps(block)})
        assert not graph.problems, graph.problems
        resources = {address: Resource(address, self.kinds[address.section], spec) for address, spec in specs.items()}
        return Project(
            root=self.root, files=(), name="test", owner=Owner(), settings={}, resources=resources, edges=graph.edges,
            order=order(graph.edges), digest=digest(blocks), moved=moved, imports=imports or {},
        )  # fmt: skip

    def context(self, lineage: str = "") -> Context:
        return Context(self.root, self.home, "default", "test", lineage, {}, FileDigests())

    def ledger(self) -> Ledger:
        """The state as it is on the disk."""
        return Ledger(LocalStore(self.home).read())

    def plan(
        self, blocks: Blocks, selection: Selection = EVERYTHING, moved: Moved = (), imports: Imports | None = None
    ) -> Plan:
        """Plan without a lock, as `mlctl plan` does."""
        return planner.plan(self.project(blocks, moved, imports), self.ledger(), self.context(), selection)

    def apply(
        self,
        blocks: Blocks,
        *,
        parallelism: int = 1,
        selection: Selection = EVERYTHING,
        moved: Moved = (),
        imports: Imports | None = None,
    ) -> Applied | None:
        """Plan and apply; None when the process died, and the disk is then as it was at that moment."""
        project = self.project(blocks, moved, imports)
        with self._living(), LocalStore(self.home).session("apply") as session:
            session.log = FaultyLog(session.log, self.tool, self.journal_faults)
            plan = planner.plan(project, session.ledger, self.context(), selection)
            announced = names(moves(project, session.ledger).applied(session.ledger))
            self.tool.replacing = {name for name, key in announced.items() if key.address in selection.replace}
            before = len(self.tool.calls)
            whole = self._whole(session.ledger)
            applied = applier.apply(
                plan, project, self.kinds.__getitem__, session, self.context(), lambda event: None, parallelism=parallelism
            )  # fmt: skip
            calls = self.tool.calls[before:]
            self.tool.violations += unplanned(plan, calls, {**names(session.ledger), **announced})
            self.tool.violations += self._needless(self._done(before), whole)
            self.tool.violations += not_chosen(plan, applied, session.ledger)
            self.tool.violations += behind_gates(project, self._done(before), session.ledger)
            if selection.replace and not applied.failed:
                self.tool.violations += self._lost_attempts(project, applied, session.ledger)
            return applied
        return None

    def _whole(self, ledger: Ledger) -> dict[str, FakeObject]:
        """What was made to the end, is there and works, as it is now."""
        found = {str(record.made_as) for record in ledger if record.complete} - self.tool.broken
        return {name: replace(item) for name, item in self.tool.objects.items() if name in found}

    def _done(self, start: int) -> list[str]:
        """The calls from one on that were not refused."""
        return [
            call for number, call in enumerate(self.tool.calls) if number >= start and number not in self.tool.refused
        ]

    def _needless(self, calls: Iterable[str], whole: Mapping[str, FakeObject]) -> list[str]:
        """Objects that were made again as they were: an early cut-off that was lost."""
        made = {name for verb, _, name in (call.partition(" ") for call in calls) if verb == "make"}
        same = [name for name in sorted(made & whole.keys()) if self.tool.objects.get(name) == whole[name]]
        return [f"{name} was made again for nothing" for name in same if name not in self.tool.replacing]

    def _lost_attempts(self, project: Project, applied: Applied, ledger: Ledger) -> list[str]:
        """Builds that were made anew, and that a later plan does not ask for."""
        plan = {change.address: change for change in planner.plan(project, ledger, self.context())}
        fresh = [step for step in applied.done if step.record is not None and not step.reused]
        return [
            f"{step.change.key} was made anew, and is not asked for"
            for step in fresh
            if step.change.action is not Action.DELETE
            and plan[step.change.address].key_known
            and step.record is not None
            and plan[step.change.address].key != step.record.key
        ]

    def refuse(self, blocks: Blocks, selection: Selection) -> bool:
        """Whether a plan is refused because it would remove what is protected; nothing may have been touched then."""
        try:
            self.plan(blocks, selection)
        except MlctlError as error:
            refusal = error
        else:
            return False
        assert {item.code for item in refusal.diagnostics} == {"plan.protected"}, refusal
        assert refusal.exit_code is ExitCode.POLICY
        return True

    def destroy(self, targets: tuple[Address, ...] = (), exclude: tuple[Address, ...] = ()) -> Applied | None:
        """Remove everything, or some addresses and all that was made with them."""
        with self._living(), LocalStore(self.home).session("destroy") as session:
            session.log = FaultyLog(session.log, self.tool, self.journal_faults)
            plan = planner.destruction(self.project({}), session.ledger, Selection(targets, exclude))
            return applier.destroy(
                plan, self.kinds.__getitem__, session, self.context(), lambda event: None, parallelism=1
            )
        return None

    def accept(self, blocks: Blocks) -> None:
        """`--refresh-only`: touches no tool, and leaves nothing of the kind to note."""
        project, calls = self.project(blocks), len(self.tool.calls)
        selection = Selection(mode=Mode.REFRESH_ONLY)
        with LocalStore(self.home).session("apply") as session:
            plan = planner.plan(project, session.ledger, self.context(), selection)
            refresh.accept(plan, session, self.context(), lambda event: None)
        assert len(self.tool.calls) == calls
        assert self.plan(blocks, selection).empty

    def approve(self) -> None:
        """A person approves every verdict that is not a pass."""
        for record in self.ledger():
            gate, current = record.gate, self.ledger().current(record.key.address)
            if gate is None or gate.open or current is None or current.key != record.key or not record.complete:
                continue
            if str(record.made_as) not in self.tool.objects:
                continue
            with self._living(), LocalStore(self.home).session("approve") as session:
                session.log = FaultyLog(session.log, self.tool, self.journal_faults)
                address = record.key.address
                approve(address, "it is urgent", self.kinds.__getitem__, session, self.context())

        for record in self.ledger():
            if record.complete and record.gate is not None and record.gate.open and not record.gate.passed:
                found = self.tool.objects.get(str(record.made_as))
                assert found is None or found.published, f"{record.key} was approved, and is not published"

    def edit(self, change: Any) -> None:
        """Somebody edits the records of the state, each as a function says."""
        with LocalStore(self.home).session("edit") as session:
            session.exchange((), [change(record) for record in session.ledger])

    def spoil(self, how: str) -> None:
        """Somebody changes an object behind our back, or it stops working, or is gone."""
        if not self.tool.objects:
            return
        name = sorted(self.tool.objects)[0]
        if how == "break":
            self.tool.broken.add(name)
        elif how == "lose":
            del self.tool.objects[name]
            self.lost.add(name)
        else:
            self.tool.objects[name].spec = {**self.tool.objects[name].spec, "value": 9}

    @contextmanager
    def _living(self) -> Iterator[None]:
        """The life of one process. When it dies, nothing of what it did after that moment is on the disk."""
        self.tool.dead = False
        try:
            yield
        except Crash:
            self._restore()
        except MlctlError as error:
            if not any(item.code == "fake.refused" for item in error.diagnostics):
                raise
        finally:
            self.tool.dead = False
            self.tool.replacing = set()

    def _photograph(self) -> None:
        shutil.rmtree(self.root / "photo", ignore_errors=True)
        shutil.copytree(self.home, self.root / "photo")

    def _restore(self) -> None:
        shutil.rmtree(self.home)
        (self.root / "photo").rename(self.home)

    def check(self, blocks: Blocks, moved: Moved = (), imports: Imports | None = None) -> None:
        """The invariants, once an apply without faults has gone through.

        1. One apply heals: it fails nowhere. 2. The plan after it is empty. 3. No object without an owner, and none lost.
        4. Nothing was built on what is not there. 5. Nothing was deleted under a user. 6. Same input, same plan.
        7. Apply did nothing that its plan had not announced. 8. A repeat does nothing, and is held back where the plan says.
        """
        self.tool.faults.clear()
        self.journal_faults.clear()
        applied = self.apply(blocks, moved=moved, imports=imports)
        assert applied is not None
        assert not applied.failed, applied.failed
        held = {gate.address for gate in applied.gates if not gate.gate.open}
        plan = self.plan(blocks, moved=moved, imports=imports)
        assert plan.changes == self.plan(blocks, moved=moved, imports=imports).changes
        waiting = [change for change in plan if change.effective and change.blocked_by is None]
        assert not waiting, waiting
        assert bool(plan.blocked) <= bool(held)
        calls = len(self.tool.calls)
        again = self.apply(blocks, moved=moved, imports=imports)
        assert again is not None
        assert (len(self.tool.calls), again.failed) == (calls, [])
        held_back = {change.address for change in plan.blocked if change.action is not Action.DELETE}
        assert {step.change.address for step in again.skipped} == held_back
        records = {str(record.made_as): record for record in self.ledger()}
        assert set(self.tool.objects) <= records.keys(), set(self.tool.objects) - records.keys()
        free = {Address.parse(name) for name in blocks} - held_back
        looked_at = [self.ledger().current(address) for address in free]
        unmade = [name for name in records if name not in self.tool.objects]
        unmade = [name for name in unmade if name not in self.lost or records[name] in looked_at]
        assert not any(records[name].complete for name in unmade), unmade
        assert not self.tool.violations, self.tool.violations
        for record in records.values():
            used = {use.key for use in record.uses if str(use.key) not in self.lost}
            assert all(self.ledger().get(key) is not None for key in used), record
        if not plan.blocked:
            self._check_made(blocks)

    def _check_made(self, blocks: Blocks) -> None:
        """What is there is what the project asks for, but for what it asks to be left alone."""
        for address, block in blocks.items():
            current = self.ledger().current(Address.parse(address))
            assert current is not None, address
            if "value" not in block.get("lifecycle", {}).get("ignore_changes", ()):
                assert current.spec.get("value", 0) == block.get("value", 0), address
                assert self.tool.objects[str(current.made_as)].spec.get("value", 0) == block.get("value", 0), address
            if current.gate is not None and current.gate.open and not current.gate.passed:
                assert self.tool.objects[str(current.made_as)].published, address


def unprotected(record: Record) -> Record:
    """The record without its protection."""
    return replace(record, protected=False, spec={key: item for key, item in record.spec.items() if key != "lifecycle"})


def names(ledger: Ledger) -> dict[str, ObjectKey]:
    """The objects of a ledger by the names that the tool has for them."""
    return {str(record.made_as): record.key for record in ledger}


def unplanned(plan: Plan, calls: Iterable[str], known: Mapping[str, ObjectKey]) -> list[str]:
    """Calls that the plan did not announce. What depends on an object still to come is announced by its address alone."""
    steps = {change.address: change for change in plan if change.effective and change.action is not Action.DELETE}
    removals = {change.key for change in plan if change.action is Action.DELETE and change.blocked_by is None}
    found = []
    for call in calls:
        verb, name = call.split(" ", 1)
        key = known.get(name) or ObjectKey.parse(name)
        step = steps.get(key.address)
        free = step is not None and step.blocked_by is None and not step.waits
        if verb == "remove":
            announced = key in removals or free
        else:
            announced = free and step is not None and (not step.key_known or step.key == key)
            announced = announced and step is not None and step.reason not in (Reason.MOVED, Reason.METADATA)
            announced = announced and (verb == "adopt") == (step is not None and step.action is Action.IMPORT)
        if not announced:
            found.append(f"{call} was not planned")
    return found


def not_chosen(plan: Plan, applied: Applied, ledger: Ledger) -> list[str]:
    """Addresses that have another object than the plan asked for, although nothing stood in the way."""
    undone = {step.change.address for step in (*applied.failed, *applied.skipped)}
    found = []
    for change in plan:
        current = ledger.current(change.address)
        asked = change.key_known and change.action is not Action.DELETE and change.address not in undone
        if asked and (current is None or current.key != change.key):
            found.append(f"{change.key} was asked for, and is not the one chosen last")
    return found


def behind_gates(project: Project, calls: Iterable[str], ledger: Ledger) -> list[str]:
    """What was made although a verdict in front of it is not open."""
    known = names(ledger)
    called = [name for verb, _, name in (call.partition(" ") for call in calls) if verb == "make"]
    made = {(known.get(name) or ObjectKey.parse(name)).address for name in called}
    found = []
    for address in sorted(made & project.resources.keys()):
        for gate in project.edges[address]:
            record = ledger.current(gate)
            if record is not None and record.complete and record.gate is not None and not record.gate.open:
                found.append(f"{address} was made behind the closed gate {gate}")
    return found


__all__ = ["EVERYTHING", "Blocks", "Session", "World", "names", "unplanned", "unprotected"]
