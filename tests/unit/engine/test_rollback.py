"""Going back: which run, with which builds, and who may change it afterwards."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine import rollback
from mlctl.engine.ledger import Ledger
from mlctl.engine.operations import Operation
from mlctl.engine.runs import RunFolder, Runs
from mlctl.engine.saved import file as planfile
from mlctl.provider import Context
from mlctl.registry import Registry
from mlctl.testing.fake import FakeBuild, fake_kinds
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Mode, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.secret import Secrets
from mlctl.types.state import Held
from tests.unit.engine.test_saved import TEXT, World

B = Address("builds", "b")


class History(World):
    """A project whose applies are runs."""

    @property
    def runs(self) -> Runs:
        return Runs(self.store.home)

    def go(self, operation: Operation, *, code: int = 0) -> RunFolder:
        with self.store.session("test") as session:
            ctx, project = self.ctx(session.ledger), self.project
            plan = operation.plan(project, session.ledger, ctx)
            saved = planfile.save(operation.name, plan, project, session.ledger, Secrets(), operation.extra())
            run = self.runs.begin(operation.name, saved)
            operation.carry_out(plan, project, self.registry.kind, session, ctx, lambda event: None, 1)
            used = {record.key.address: session.ledger.made(record.key.address) for record in session.ledger}
        objects = {str(address): str(record.key) for address, record in used.items() if record is not None}
        run.update(exit_code=code, objects=objects)
        run.let_go()
        return run

    def current(self) -> ObjectKey:
        """The build `b` that is in use."""
        record = Ledger(self.store.read()).current(B)
        assert record is not None
        return record.key


class FilesBuild(FakeBuild):
    """A build that also depends on a file."""

    def parts(self, spec: Any, ctx: Context) -> Mapping[str, str]:
        return {"file:data.txt": (ctx.root / "data.txt").read_text()}


@pytest.fixture
def history(tmp_path: Path) -> History:
    return History(tmp_path)


APPLY = Operation("apply", Selection())


def test_the_last_good_run_before_the_present_is_meant(history: History) -> None:
    with pytest.raises(MlctlError, match=r"rollback\.nothing-before"):
        rollback.target(history.runs, None)
    first = history.go(APPLY)
    with pytest.raises(MlctlError, match=r"rollback\.nothing-before"):
        rollback.target(history.runs, None)
    history.write(TEXT.replace("value: 4", "value: 6"))
    second = history.go(APPLY)
    assert rollback.target(history.runs, None).id == first.id
    failed = history.go(Operation("retrain", Selection()), code=ExitCode.PARTLY_APPLIED)
    assert rollback.target(history.runs, None).id == second.id
    with pytest.raises(MlctlError, match=r"rollback\.no-result"):
        rollback.target(history.runs, failed.id)
    assert rollback.target(history.runs, first.id).id == first.id


def test_one_rollback_after_another_goes_further_back(history: History) -> None:
    found = []
    for value in (4, 6, 8):
        history.write(TEXT.replace("value: 4", f"value: {value}"))
        found.append(history.go(APPLY).id)
    target = rollback.target(history.runs, None)
    assert target.id == found[1]
    history.go(Operation("rollback", Selection(), target=target.id))
    assert rollback.target(history.runs, None).id == found[0]


def test_builds_of_that_run_are_gone_back_to_though_their_inputs_changed(history: History) -> None:
    """The configuration of both runs is the same here; only what `b` was made from is not."""
    history.registry = Registry.of(FilesBuild(history.tool), *fake_kinds(history.tool)[1:])
    (history.root / "data.txt").write_text("monday")
    first = history.go(APPLY)
    monday = history.current()
    (history.root / "data.txt").write_text("tuesday")
    history.go(APPLY)
    assert history.current() != monday
    made = len(history.tool.calls)
    ledger = Ledger(history.store.read())
    pins = rollback.pins(first.read(), ledger, history.registry.kind)
    assert {str(address) for address in pins} == {"builds.a", "builds.b"}
    history.go(Operation("rollback", Selection(), pins=pins, target=first.id))
    assert history.current() == monday
    assert [call for call in history.tool.calls[made:] if "builds" in call] == []
    ledger = Ledger(history.store.read())
    plan = APPLY.plan(history.project, ledger, history.ctx(ledger))
    assert not any(
        change.address == B and change.effective for change in plan
    )  # tuesday's is kept and would be chosen again
    assert [change.key for change in plan if change.address == B] != [monday]


def test_nothing_is_pinned_when_a_build_is_gone(history: History) -> None:
    first = history.go(APPLY)
    with history.store.session("test") as session:
        record = session.ledger.current(B)
        assert record is not None
        session.forget(record.key)
    assert rollback.pins(first.read(), Ledger(history.store.read()), history.registry.kind) == {}


def test_what_is_held_is_not_changed_and_what_is_not_may_be(history: History) -> None:
    history.go(APPLY)
    history.write(TEXT.replace("value: 4", "value: 6"))
    ledger = Ledger(history.store.read())
    plan = APPLY.plan(history.project, ledger, history.ctx(ledger))
    held = Held("7f3a", "errors", "me", "now")
    rollback.refuse_held(plan, None, None)
    rollback.refuse_held(plan, held, {Address("services", "other")})
    for guarded in (None, {B}):
        with pytest.raises(MlctlError) as error:
            rollback.refuse_held(plan, held, guarded)
        assert error.value.exit_code is ExitCode.POLICY
        assert "errors" in error.value.diagnostics[0].why


def test_a_removal_is_no_result_to_go_back_to(history: History) -> None:
    first = history.go(APPLY)
    history.go(Operation("apply", Selection(mode=Mode.REFRESH_ONLY)))
    history.write(TEXT.replace("value: 4", "value: 6"))
    history.go(APPLY)
    assert rollback.target(history.runs, None).id == first.id
