"""A person lets dependents go on: who, why and when stay, and what a pass would have published is published."""

from pathlib import Path

import pytest

from mlctl.engine.approve import approve
from mlctl.engine.store import LocalStore
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.properties.worlds import Blocks, World

CHECK = Address("builds", "check")
BLOCKS: Blocks = {"builds.check": {"value": 1, "gate": 3}, "services.api": {"uses_builds": ["check"]}}


@pytest.fixture
def world(tmp_path: Path) -> World:
    found = World(tmp_path)
    found.apply(BLOCKS)
    return found


def approved(world: World, address: Address = CHECK, why: str = "it is urgent") -> Record:
    with LocalStore(world.home).session("approve") as session:
        return approve(address, why, world.kinds.__getitem__, session, world.context())


def test_dependents_go_on_and_the_next_plan_knows_who_said_so(world: World) -> None:
    assert world.plan(BLOCKS).blocked
    record = approved(world)
    assert world.tool.objects[str(record.key)].published
    plan = world.plan(BLOCKS)
    assert not plan.blocked
    gate = plan.changes[0].gate
    assert gate is not None
    assert gate.approval is not None
    assert gate.approval.why == "it is urgent"
    assert "@" in gate.approval.who
    applied = world.apply(BLOCKS)
    assert applied is not None
    assert applied.exit_code == 0
    assert world.plan(BLOCKS).empty


def test_an_approval_goes_with_its_verdict(world: World) -> None:
    approved(world)
    assert world.plan({**BLOCKS, "builds.check": {"value": 0, "gate": 3}}).changes[0].gate is None
    world.apply({**BLOCKS, "builds.check": {"value": 0, "gate": 3}})
    assert world.plan({**BLOCKS, "builds.check": {"value": 0, "gate": 3}}).blocked


def test_the_same_verdict_again_stays_approved_and_published(world: World) -> None:
    record = approved(world)
    world.apply(BLOCKS)
    del world.tool.objects[str(record.key)]
    world.apply(BLOCKS)
    assert world.tool.objects[str(record.key)].published
    assert world.plan(BLOCKS).empty


@pytest.mark.parametrize("fault", ["crash-before", "crash-after"])
def test_an_approval_that_was_cut_off_is_gone_on_with(world: World, fault: str) -> None:
    world.tool.faults = {len(world.tool.calls): fault}
    world.approve()
    record = world.ledger().current(CHECK)
    assert record is not None
    assert not record.complete
    calls = len(world.tool.calls)
    world.apply(BLOCKS)
    assert world.tool.calls[calls] == f"publish {record.key}"  # and not made again
    assert world.tool.objects[str(record.key)].published
    assert world.plan(BLOCKS).empty


@pytest.mark.parametrize(
    ("address", "code"),
    [
        (Address("builds", "chek"), "approve.unknown"),
        (Address("services", "api"), "approve.unknown"),
        (Address("builds", "plain"), "approve.no-gate"),
        (Address("builds", "good"), "approve.passed"),
    ],
)
def test_only_a_verdict_that_is_no_pass_can_be_approved(world: World, address: Address, code: str) -> None:
    world.apply({**BLOCKS, "builds.plain": {}, "builds.good": {"value": 5, "gate": 3}})
    with pytest.raises(MlctlError) as caught:
        approved(world, address)
    assert caught.value.diagnostics[0].code == code


def test_an_approval_needs_a_reason_and_is_given_once(world: World) -> None:
    for why, code in ((" ", "approve.no-reason"), ("yes", ""), ("yes", "approve.approved")):
        if not code:
            approved(world, why=why)
            continue
        with pytest.raises(MlctlError) as caught:
            approved(world, why=why)
        assert caught.value.diagnostics[0].code == code
