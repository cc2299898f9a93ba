"""Apply tells what came of each step whatever goes wrong: in the tool, on the disk, in a kind, at a gate."""

import errno
import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine import applier, planner
from mlctl.engine.ledger import Ledger
from mlctl.engine.store import LocalStore
from mlctl.provider import Outcome
from mlctl.types.address import Address
from mlctl.types.change import Reason
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Event
from tests.properties.worlds import Blocks, World

FULL_DISK = OSError(errno.ENOSPC, "No space left on device", "/data/model.bin")
GATED: Blocks = {"builds.check": {"value": 1, "gate": 3}, "services.api": {"uses_builds": ["check"]}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def raising(error: Exception) -> Any:
    def broken(*_: object) -> None:
        raise error

    return broken


def test_a_full_disk_is_no_bug_of_the_kind(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world.tool, "make", raising(FULL_DISK))
    applied = world.apply({"builds.a": {}})
    assert applied is not None
    assert applied.exit_code is ExitCode.ERROR
    (problem,) = applied.failed[0].diagnostics
    assert problem.code == "system.refused"
    assert "No space left on device" in problem.summary
    assert "/data/model.bin" in problem.why


def test_what_objects_are_made_of_is_for_nobody_else(world: World) -> None:
    umask = os.umask(0)
    try:
        world.apply({"builds.a": {}})
    finally:
        os.umask(umask)
    assert (world.home / "objects").stat().st_mode & 0o777 == 0o700  # rows, logs and models, whatever tool wrote them


def test_a_step_whose_state_cannot_be_told_after_its_failure_is_still_told(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(world.tool, "make", raising(FULL_DISK))
    monkeypatch.setattr(world.kinds["builds"], "read", raising(FULL_DISK))
    applied = world.apply({"builds.a": {}, "builds.b": {"uses_builds": ["a"]}, "things.c": {}})
    assert applied is not None
    assert [str(step.change.address) for step in applied.failed] == ["builds.a", "things.c"]
    assert [str(step.change.address) for step in applied.skipped] == ["builds.b"]


def test_an_object_whose_kind_is_no_longer_installed_fails_alone(world: World) -> None:
    world.apply({"builds.a": {}, "things.b": {}})

    def kinds(section: str) -> Any:
        if section == "builds":
            raise MlctlError.of("kind.missing", "no installed package has a kind for `builds`")
        return world.kinds[section]

    with LocalStore(world.home).session("destroy") as session:
        plan = planner.destruction(world.project({}), session.ledger)
        applied = applier.destroy(plan, kinds, session, world.context(), lambda event: None)
    assert [(str(step.change.address), step.diagnostics[0].code) for step in applied.failed] == [
        ("builds.a", "kind.missing")
    ]
    assert applied.exit_code is ExitCode.PARTLY_APPLIED
    assert not any(name.startswith("things") for name in world.tool.objects)


def test_a_choice_that_cannot_be_recorded_is_told_as_a_failure(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks: Blocks = {"builds.a": {"value": 1}, "things.z": {"uses_builds": ["a"]}}
    world.apply(blocks)
    world.apply({**blocks, "builds.a": {"value": 4}})
    with LocalStore(world.home).session("apply") as session:
        project = world.project(blocks)
        plan = planner.plan(project, session.ledger, world.context())
        assert plan.changes[0].reason is Reason.CACHED
        monkeypatch.setattr(session, "record", raising(MlctlError.of("state.cannot-write", "the disk is full")))
        applied = applier.apply(
            plan, project, world.kinds.__getitem__, session, world.context(), lambda event: None, parallelism=1
        )
    assert [str(step.change.address) for step in applied.failed] == ["builds.a"]
    assert [str(step.change.address) for step in applied.skipped] == ["things.z"]


def test_a_plan_is_held_back_by_a_failed_gate_whose_metadata_changes(world: World) -> None:
    world.apply(GATED)
    noted = {**GATED, "builds.check": {**GATED["builds.check"], "note": "new"}}
    plan = world.plan(noted)
    assert [str(change.address) for change in plan.blocked] == ["services.api"]
    applied = world.apply(noted)
    assert applied is not None
    assert applied.exit_code is ExitCode.GATE_FAILED
    assert [str(step.change.address) for step in applied.skipped] == ["services.api"]


def test_an_interruption_begins_nothing_more_and_lets_what_runs_end(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    ctx = world.context()
    real = world.kinds["builds"].apply

    def slow(*arguments: Any) -> Outcome:
        ctx.stop.set()
        time.sleep(0.05)
        return real(*arguments)

    monkeypatch.setattr(world.kinds["builds"], "apply", slow)
    project = world.project({"builds.a": {}, "builds.b": {"uses_builds": ["a"]}})
    with LocalStore(world.home).session("apply") as session:
        plan = planner.plan(project, session.ledger, ctx)
        applied = applier.apply(plan, project, world.kinds.__getitem__, session, ctx, lambda event: None)
    assert applied.exit_code is ExitCode.INTERRUPTED
    assert [str(step.change.address) for step in applied.done] == ["builds.a"]
    assert [str(step.change.address) for step in applied.skipped] == ["builds.b"]
    record = Ledger(LocalStore(world.home).read()).current(Address("builds", "a"))
    assert record is not None
    assert record.complete


def test_what_was_done_is_done_when_the_interruption_came_too_late(world: World) -> None:
    ctx = world.context()
    project = world.project({"builds.a": {}})

    def emit(event: Event) -> None:
        if type(event).__name__ == "StepDone":
            ctx.stop.set()

    with LocalStore(world.home).session("apply") as session:
        plan = planner.plan(project, session.ledger, ctx)
        applied = applier.apply(plan, project, world.kinds.__getitem__, session, ctx, emit)
    assert applied.exit_code is ExitCode.OK


def test_events_come_one_at_a_time(world: World) -> None:
    inside = threading.Lock()

    def emit(event: Event) -> None:
        assert inside.acquire(blocking=False)
        time.sleep(0.001)
        inside.release()

    project = world.project({f"things.{name}": {} for name in "abcdefgh"})
    ctx = world.context()
    with LocalStore(world.home).session("apply") as session:
        plan = planner.plan(project, session.ledger, ctx)
        applied = applier.apply(plan, project, world.kinds.__getitem__, session, ctx, emit, parallelism=8)
    assert len(applied.done) == 8
