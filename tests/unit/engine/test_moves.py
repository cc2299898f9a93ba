"""A renamed object stays what and where it is; nothing runs because of a name."""

from pathlib import Path

import pytest

from mlctl.engine.moves import renamed
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Reason
from mlctl.types.state import Record, Use
from tests.properties.worlds import Blocks, Moved, World

CHAIN: Blocks = {
    "builds.data": {"value": 2},
    "builds.model": {"value": 4, "uses_builds": ["data"]},
    "services.api": {"value": 1, "uses_builds": ["model"]},
}
RENAMED: Blocks = {
    "builds.rides": {"value": 2},
    "builds.model": {"value": 4, "uses_builds": ["rides"]},
    "services.api": {"value": 1, "uses_builds": ["model"]},
}
MOVED: Moved = ((Address("builds", "data"), Address("builds", "rides")),)


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_a_renamed_dataset_runs_nothing_again(world: World) -> None:
    world.apply(CHAIN)
    calls, names = len(world.tool.calls), set(world.tool.objects)
    plan = world.plan(RENAMED, moved=MOVED)
    (change,) = [item for item in plan if item.effective]
    assert (change.action, change.reason, change.moved_from) == (Action.UPDATE, Reason.MOVED, Address("builds", "data"))
    world.apply(RENAMED, moved=MOVED)
    assert (len(world.tool.calls), set(world.tool.objects)) == (calls, names)
    assert world.plan(RENAMED, moved=MOVED).empty
    assert world.plan(RENAMED).empty


def test_a_moved_object_keeps_its_place_and_its_users(world: World) -> None:
    world.apply(CHAIN)
    world.apply(RENAMED, moved=MOVED)
    record = world.ledger().current(Address("builds", "rides"))
    model = world.ledger().current(Address("builds", "model"))
    assert record is not None
    assert model is not None
    assert record.made_as == ObjectKey(Address("builds", "data"), record.key.identity)
    assert [use.key for use in model.uses] == [record.key]
    ctx = world.context()
    assert world.ledger().origins == {record.key: record.made_as}
    assert ctx.folder(record.made_as).parent.name == "builds.data"


def test_without_a_moved_block_a_rename_is_a_new_object_and_still_no_other_build(world: World) -> None:
    world.apply(CHAIN)
    calls = len(world.tool.calls)
    world.apply(RENAMED)
    made = [call.partition("#")[0] for call in world.tool.calls[calls:]]
    assert made[0] == "make builds.rides"
    assert "make builds.model" not in made


def test_a_new_object_under_the_old_name_gets_a_place_of_its_own(world: World) -> None:
    world.apply({"services.a": {}})
    moved = ((Address("services", "a"), Address("services", "b")),)
    world.apply({"services.b": {}, "services.a": {}}, moved=((Address("services", "a"), Address("services", "b")),))
    world.apply({"services.b": {}}, moved=moved)
    both: Blocks = {"services.b": {}, "services.a": {"value": 3}}
    world.apply(both)
    records = [world.ledger().current(Address("services", name)) for name in "ab"]
    assert len({str(record.made_as) for record in records if record is not None}) == 2
    assert world.plan(both).empty
    world.apply({"services.b": {}})
    assert len(world.tool.objects) == 1


def test_what_its_tool_knows_by_its_address_is_made_anew(world: World) -> None:
    world.apply({"things.a": {}})
    plan = world.plan({"things.b": {}}, moved=((Address("things", "a"), Address("things", "b")),))
    created, removed = plan.changes
    assert (created.action, created.moved_from, removed.action) == (
        Action.CREATE,
        Address("things", "a"),
        Action.DELETE,
    )
    assert "by its address" in created.detail


def test_instances_move_with_their_block(world: World) -> None:
    world.apply({'builds.a["x"]': {"value": 1}, 'builds.a["y"]': {"value": 2}})
    calls = len(world.tool.calls)
    blocks: Blocks = {'builds.b["x"]': {"value": 1}, 'builds.b["y"]': {"value": 2}}
    world.apply(blocks, moved=((Address("builds", "a"), Address("builds", "b")),))
    assert len(world.tool.calls) == calls
    assert world.plan(blocks).empty


def test_a_move_changes_keys_uses_names_and_order_and_nothing_else() -> None:
    a, b, user = ObjectKey.parse("builds.a#1"), ObjectKey.parse("builds.b#1"), ObjectKey.parse("services.s#")
    used = Record(user, parts={"input:builds.a": "d"}, uses=(Use(a, "d"),), after=(a.address,), sequence=3)
    moved, kept = renamed([Record(a, id="x", sequence=2), used], a.address, b.address)
    assert moved == Record(b, id="x", sequence=2, origin=a)
    assert kept == Record(user, parts={"input:builds.b": "d"}, uses=(Use(b, "d"),), after=(b.address,), sequence=3)
    (back,) = renamed([moved], b.address, a.address)
    assert back == Record(a, id="x", sequence=2)
