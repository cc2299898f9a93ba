"""Status is asked for when something is wrong, so one object that cannot be asked must not hide the others."""

from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.health import survey
from mlctl.engine.ledger import Ledger
from mlctl.engine.store import LocalStore
from mlctl.types.diagnostic import MlctlError
from tests.properties.worlds import World


@pytest.fixture
def world(tmp_path: Path) -> World:
    world = World(tmp_path)
    world.apply({"builds.a": {"value": 1, "gate": 3}, "services.s": {}, "things.b": {}})
    return world


def conditions(world: World, kinds: Any = None) -> dict[str, str]:
    ledger = Ledger(LocalStore(world.home).read())
    return {
        str(item.address): item.condition for item in survey(ledger, kinds or world.kinds.__getitem__, world.context())
    }


def test_each_object_says_how_it_is(world: World) -> None:
    names = {name.partition("#")[0]: name for name in world.tool.objects}
    world.tool.broken.add(names["services.s"])
    del world.tool.objects[names["things.b"]]
    assert conditions(world) == {"builds.a": "gate not passed", "services.s": "broken", "things.b": "gone"}


def test_one_that_cannot_be_asked_is_unknown(world: World) -> None:
    def kinds(section: str) -> Any:
        if section == "builds":
            raise MlctlError.of("kind.missing", "no installed package has a kind for `builds`")
        return world.kinds[section]

    assert conditions(world, kinds) == {"builds.a": "unknown", "services.s": "ready", "things.b": "ready"}


def test_what_failed_says_why(world: World) -> None:
    world.tool.faults = {len(world.tool.calls): "refuse"}
    world.apply({"builds.a": {"value": 1, "gate": 3}, "services.s": {}, "things.b": {}, "builds.z": {"value": 7}})
    ledger = Ledger(LocalStore(world.home).read())
    [found] = [item for item in survey(ledger, world.kinds.__getitem__, world.context()) if item.address.name == "z"]
    assert found.condition == "unfinished"
    assert found.detail.startswith("an earlier apply failed: ")
