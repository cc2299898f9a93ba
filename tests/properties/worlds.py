"""Random projects over the fake tool, and the invariants that every history must keep."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl.engine import applier, planner
from mlctl.engine.applier import Applied
from mlctl.engine.ledger import Ledger
from mlctl.engine.store import LocalStore
from mlctl.files.digests import FileDigests
from mlctl.provider import Context, Kind
from mlctl.spec.graph import Graph, order
from mlctl.spec.project import Owner, Project, Resource
from mlctl.spec.suggest import Suggestions
from mlctl.testing.fake import Crash, FakeSpec, FakeTool, fake_kinds
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Plan
from mlctl.types.value import digest

Blocks = dict[str, dict[str, Any]]


@dataclass
class World:
    """A folder with a state, a tool, and what is applied to both."""

    root: Path
    tool: FakeTool = field(default_factory=FakeTool)

    def __post_init__(self) -> None:
        self.home = self.root / "home"
        self.kinds: dict[str, Kind] = {kind.section: kind for kind in fake_kinds(self.tool)}
        self.tool.on_crash = self._photograph

    def project(self, blocks: Blocks) -> Project:
        """The typed project of blocks by address."""
        specs = {Address.parse(name): FakeSpec.model_validate(block) for name, block in blocks.items()}
        graph = Graph(specs.keys(), Suggestions())
        graph.add(specs, {})
        assert not graph.problems
        resources = {address: Resource(address, self.kinds[address.section], spec) for address, spec in specs.items()}
        return Project(
            self.root, (), "test", Owner(), {}, resources, graph.edges, order(graph.edges), digest(blocks), {}
        )

    def context(self, lineage: str = "") -> Context:
        return Context(self.root, self.home, "default", "test", lineage, {}, FileDigests())

    def plan(self, blocks: Blocks, **options: Any) -> Plan:
        """Plan without a lock, as `mlctl plan` does."""
        return planner.plan(self.project(blocks), Ledger(LocalStore(self.home).read()), self.context(), **options)

    def apply(self, blocks: Blocks, *, parallelism: int = 1, **options: Any) -> Applied | None:
        """Plan and apply; None when the process died, and the disk is then as it was at that moment."""
        project = self.project(blocks)
        try:
            with LocalStore(self.home).session("apply") as session:
                plan = planner.plan(project, session.ledger, self.context(), **options)
                before = len(self.tool.calls)
                applied = applier.apply(
                    plan, project, self.kinds.__getitem__, session, self.context(), lambda event: None, parallelism=parallelism
                )  # fmt: skip
                self.tool.violations += unplanned(plan, self.tool.calls[before:])
                return applied
        except Crash:
            self._restore()
            return None

    def destroy(self, targets: tuple[Address, ...] = ()) -> Applied | None:
        """Remove everything, or some addresses and all that was made with them."""
        try:
            with LocalStore(self.home).session("destroy") as session:
                plan = planner.destruction(self.project({}), session.ledger, targets)
                return applier.destroy(
                    plan, self.kinds.__getitem__, session, self.context(), lambda event: None, parallelism=1
                )
        except Crash:
            self._restore()
            return None

    def spoil(self, how: str) -> None:
        """Somebody changes an object behind our back, or it stops working."""
        if self.tool.objects:
            name = sorted(self.tool.objects)[0]
            if how == "break":
                self.tool.broken.add(name)
            else:
                self.tool.objects[name].spec = {**self.tool.objects[name].spec, "value": 9}

    def _photograph(self) -> None:
        shutil.rmtree(self.root / "photo", ignore_errors=True)
        shutil.copytree(self.home, self.root / "photo")

    def _restore(self) -> None:
        shutil.rmtree(self.home)
        (self.root / "photo").rename(self.home)

    def check(self, blocks: Blocks) -> None:
        """The invariants, once an apply without faults has gone through.

        1. One apply heals: it fails nowhere. 2. The plan after it is empty. 3. No object without an owner, and none lost.
        4. Nothing was built on what is not there. 5. Nothing was deleted under a user. 6. Same input, same plan.
        7. Apply did nothing that its plan had not announced. 8. A repeat does nothing, and is held back where the plan says.
        """
        self.tool.faults.clear()
        applied = self.apply(blocks)
        assert applied is not None
        assert not applied.failed, applied.failed
        held = {gate.address for gate in applied.gates if not gate.gate.passed}
        plan = self.plan(blocks)
        assert plan.changes == self.plan(blocks).changes
        waiting = [change for change in plan if change.effective and change.blocked_by is None]
        assert not waiting, waiting
        assert bool(plan.blocked) <= bool(held)
        calls = len(self.tool.calls)
        again = self.apply(blocks)
        assert again is not None
        assert (len(self.tool.calls), again.failed) == (calls, [])
        held_back = {change.address for change in plan.blocked if change.action is not Action.DELETE}
        assert {step.change.address for step in again.skipped} == held_back
        records = LocalStore(self.home).read().objects
        assert set(self.tool.objects) <= {str(key) for key in records}
        unmade = [key for key in records if str(key) not in self.tool.objects]
        assert not any(records[key].complete for key in unmade), unmade
        assert not self.tool.violations, self.tool.violations
        for address in blocks:
            if not plan.blocked:
                current = Ledger(LocalStore(self.home).read()).current(Address.parse(address))
                assert current is not None
                assert current.spec.get("value", 0) == blocks[address].get("value", 0)


def unplanned(plan: Plan, calls: list[str]) -> list[str]:
    """Calls that the plan did not announce. What depends on an object still to come is announced by its address alone."""
    steps = {change.address: change for change in plan if change.effective and change.action is not Action.DELETE}
    removals = {str(change.key) for change in plan if change.action is Action.DELETE and change.blocked_by is None}
    found = []
    for call in calls:
        verb, name = call.split(" ", 1)
        key = ObjectKey.parse(name)
        step = steps.get(key.address)
        if verb == "make":
            known = step is not None and step.blocked_by is None and (not step.key_known or step.key == key)
        else:
            known = name in removals or (step is not None and step.blocked_by is None)
        if not known:
            found.append(f"{call} was not planned")
    return found
