"""Timeouts, retries, failures that are counted, and ends that were asked for."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine import failures, patience
from mlctl.engine.patience import may_pass, patiently
from mlctl.provider import Context, Outcome, Spec
from mlctl.types.address import Address
from mlctl.types.change import Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.interrupt import Interrupt, Manner
from tests.properties.worlds import Blocks, World

UNATTENDED = Selection(unattended=True)
BLOCKS: Blocks = {"builds.a": {}, "services.s": {"uses_builds": ["a"]}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def spec(**fields: Any) -> Spec:
    return Spec.model_validate(fields)


def failing(times: int, error: Exception) -> tuple[Callable[[Context], int], list[int]]:
    calls: list[int] = []

    def do(ctx: Context) -> int:
        calls.append(1)
        if len(calls) <= times:
            raise error
        return len(calls)

    return do, calls


def test_a_step_is_tried_again_as_often_as_it_may_and_says_what_it_waits_for(world: World) -> None:
    do, calls = failing(2, MlctlError.of("job.died", "it died"))
    told: list[Progress] = []
    ctx = replace(world.context(), progress=told.append)
    assert patiently(do, spec(retries={"max": 2, "backoff": "5ms"}), ctx) == 3
    assert [item.message for item in told] == [
        "failed, again in 5ms (1 of 2): it died",
        "failed, again in 10ms (2 of 2): it died",
    ]
    do, calls = failing(9, MlctlError.of("job.died", "it died"))
    with pytest.raises(MlctlError, match="it died"):
        patiently(do, spec(retries={"max": 2, "backoff": "1ms"}), ctx)
    assert len(calls) == 3


@pytest.mark.parametrize(
    ("error", "passes"),
    [
        (MlctlError.of("job.died", ""), True),
        (MlctlError.of("step.timeout", ""), True),
        (OSError(28, "full"), True),
        (MlctlError.of("spec.bad-output", ""), False),
        (MlctlError.of("data.no-file", ""), False),
        (MlctlError.of("job.stopped", "", exit_code=ExitCode.INTERRUPTED), False),
        (ValueError("a bug"), False),
    ],
)
def test_only_what_may_pass_is_tried_again(error: Exception, passes: bool) -> None:
    assert may_pass(error) is passes


def test_a_short_form_of_retries() -> None:
    assert spec(retries=2).retries == spec(retries={"max": 2}).retries


def test_an_attempt_that_takes_too_long_is_asked_to_stop_and_then_ended(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(patience, "GRACE_SECONDS", 0.02)
    manners: list[Manner | None] = []

    def do(ctx: Context) -> None:
        ctx.stop.wait(5)
        manners.append(ctx.stop.manner)
        while ctx.stop.manner is not Manner.KILL:
            time.sleep(0.005)
        manners.append(ctx.stop.manner)
        raise MlctlError.of("job.stopped", "it was stopped", exit_code=ExitCode.INTERRUPTED)

    with pytest.raises(MlctlError) as caught:
        patiently(do, spec(timeout="10ms"), world.context())
    assert manners == [Manner.STOP, Manner.KILL]
    assert (caught.value.diagnostics[0].code, caught.value.exit_code) == ("step.timeout", ExitCode.ERROR)


def test_an_end_of_the_command_is_no_timeout(world: World) -> None:
    ctx = world.context()

    def do(inner: Context) -> None:
        ctx.stop.request(Manner.STOP)
        assert inner.stop.is_set()
        raise MlctlError.of("job.stopped", "", exit_code=ExitCode.INTERRUPTED)

    with pytest.raises(MlctlError) as caught:
        patiently(do, spec(timeout="1h", retries=3), ctx)
    assert caught.value.exit_code is ExitCode.INTERRUPTED


def test_a_child_hears_the_command_and_not_the_other_way_round() -> None:
    parent = Interrupt()
    with parent.child() as child:
        child.request(Manner.STOP)
        assert not parent.is_set()
        parent.request(Manner.KILL)
        assert child.manner is Manner.KILL
    with parent.child() as late:
        assert late.manner is Manner.KILL
    waiting = Interrupt()
    threading.Timer(0.01, waiting.set).start()
    assert waiting.wait(5)


def test_a_schedule_does_not_try_the_same_thing_again_and_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    now = [1_000_000.0]
    monkeypatch.setattr("mlctl.engine.failures.time.time", lambda: now[0])
    monkeypatch.setattr("mlctl.engine.failures.time.gmtime", lambda *_: datetime.fromtimestamp(now[0], UTC).timetuple())
    for expected, count in ((1, 1), (1, 2), (1, 3), (0, 3)):
        world.tool.faults = {len(world.tool.calls): "refuse"}
        calls = len(world.tool.calls)
        world.apply(BLOCKS, selection=UNATTENDED)
        assert len(world.tool.calls) - calls == expected
        record = world.ledger().current(Address("builds", "a"))
        assert record is not None
        assert record.failure is not None
        assert (record.failure.count, record.failure.summary) == (count, f"the tool refused to make {record.key}")
        now[0] += failures.FIRST_WAIT_SECONDS * 2**count + 1
    change = world.plan(BLOCKS, UNATTENDED).changes[0]
    assert change.reason is Reason.FAILED_BEFORE
    assert "3 times in a row" in change.waits
    assert not world.plan(BLOCKS).changes[0].waits
    applied = world.apply(BLOCKS, selection=UNATTENDED)
    assert applied is not None
    assert [(str(step.change.address), str(step.because)) for step in applied.skipped] == [
        ("builds.a", "builds.a"),
        ("services.s", "builds.a"),
    ]
    assert applied.exit_code is ExitCode.ERROR
    world.tool.faults = {}
    assert world.plan({"builds.a": {"value": 4}}, UNATTENDED).changes[0].waits == ""  # another thing
    world.apply(BLOCKS)  # a person is obeyed at once, and a success is the end of it
    record = world.ledger().current(Address("builds", "a"))
    assert record is not None
    assert record.failure is None


def test_after_a_failure_a_schedule_waits_a_while(world: World) -> None:
    world.tool.faults = {0: "refuse"}
    world.apply({"services.s": {"value": 1}}, selection=UNATTENDED)
    calls = len(world.tool.calls)
    world.apply({"services.s": {"value": 1}}, selection=UNATTENDED)
    assert len(world.tool.calls) == calls
    assert "is not tried again for 10m" in world.plan({"services.s": {"value": 1}}, UNATTENDED).changes[0].waits
    world.apply({"services.s": {"value": 2}}, selection=UNATTENDED)
    assert len(world.tool.calls) == calls + 1


def test_a_step_that_goes_on_alone_is_told_as_such(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = world.context()

    def detached(*_: object) -> Outcome:
        ctx.stop.request(Manner.DETACH)
        raise MlctlError.of("job.detached", "the train program goes on alone", exit_code=ExitCode.INTERRUPTED)

    monkeypatch.setattr(world.kinds["builds"], "apply", detached)
    monkeypatch.setattr(world, "context", lambda lineage="": ctx)
    applied = world.apply(BLOCKS)
    assert applied is not None
    assert [str(step.change.address) for step in applied.detached] == ["builds.a"]
    assert (applied.failed, applied.exit_code) == ([], ExitCode.INTERRUPTED)
    record = world.ledger().current(Address("builds", "a"))
    assert record is not None
    assert (record.complete, record.failure) == (False, None)
