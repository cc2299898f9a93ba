"""What exists already is taken over and not made: by its id in its tool, or from another environment."""

from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.engine import applier, planner
from mlctl.engine.store import LocalStore
from mlctl.provider import Context
from mlctl.testing.fake import FakeObject
from mlctl.types.address import Address, ObjectKey
from mlctl.types.change import Action, Reason
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.properties.worlds import Blocks, World

CHAIN: Blocks = {
    "builds.a": {"value": 1},
    "builds.b": {"value": 2, "uses_builds": ["a"]},
    "services.s": {"uses_builds": ["b"]},
}
IMPORTS = {Address("builds", "a"): "old"}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def test_an_address_without_an_object_takes_over_the_one_it_is_given(world: World) -> None:
    change = world.plan(CHAIN, imports=IMPORTS).changes[0]
    assert (change.action, change.reason, change.detail) == (Action.IMPORT, Reason.IMPORTED, "as `old`")
    world.apply(CHAIN, imports=IMPORTS)
    assert world.tool.calls[0] == f"adopt {change.key}"
    assert world.plan(CHAIN, imports=IMPORTS).empty
    assert world.plan(CHAIN).empty
    record = world.ledger().current(Address("builds", "a"))
    assert record is not None
    assert record.provenance["imported_as"] == "old"


@pytest.mark.parametrize("fault", ["crash-before", "crash-after"])
def test_one_that_was_cut_off_is_taken_over_by_the_next_apply(world: World, fault: str) -> None:
    world.tool.faults = {0: fault}
    assert world.apply(CHAIN, imports=IMPORTS) is None
    assert world.plan(CHAIN, imports=IMPORTS).changes[0].action is Action.IMPORT
    world.apply(CHAIN, imports=IMPORTS)
    assert [call.split(" ")[0] for call in world.tool.calls[1:3]] == ["adopt", "make"]
    assert world.plan(CHAIN).empty


def test_a_kind_that_cannot_take_over_is_refused_when_planned(world: World) -> None:
    world.kinds["builds"] = _Plain(world.kinds["builds"])  # type: ignore[assignment]
    with pytest.raises(MlctlError) as caught:
        world.plan(CHAIN, imports=IMPORTS)
    assert caught.value.diagnostics[0].code == "import.not-supported"


class _Plain:
    """A kind without `adopt`."""

    def __init__(self, kind: object) -> None:
        for name in (
            "section",
            "family",
            "spec",
            "identity",
            "field_class",
            "settings",
            "check",
            "read",
            "diff",
            "apply",
        ):
            setattr(self, name, getattr(kind, name))
        self.delete = kind.delete  # type: ignore[attr-defined]


def test_builds_of_another_environment_are_taken_over_and_the_rest_is_made(tmp_path: Path) -> None:
    """The same content has the same key everywhere, so that nothing but names of places has to be rewritten."""
    dev, prod = World(tmp_path / "dev"), World(tmp_path / "prod")
    dev.apply(CHAIN)
    offered = {record.key: record for record in dev.ledger() if record.key.address.section == "builds"}
    plan = planner.plan(prod.project(CHAIN), prod.ledger(), prod.context(), offered=offered)
    assert [(str(item.address), item.action, item.reason) for item in plan] == [
        ("builds.a", Action.IMPORT, Reason.PROMOTED),
        ("builds.b", Action.IMPORT, Reason.PROMOTED),
        ("services.s", Action.CREATE, Reason.NEW),
    ]

    def take(key: ObjectKey, ctx: Context) -> Record:
        prod.tool.objects[str(key)] = FakeObject(dict(offered[key].spec), {})
        return replace(offered[key], provenance={"promoted_from": "dev"})

    with LocalStore(prod.home).session("promote") as session:
        project = prod.project(CHAIN)
        applied = applier.apply(
            plan, project, prod.kinds.__getitem__, session, prod.context(), lambda event: None, take=take
        )
    assert not applied.failed
    assert prod.tool.calls == ["make services.s#"]
    assert prod.plan(CHAIN).empty
    assert {record.provenance.get("promoted_from") for record in prod.ledger()} == {"dev", None}
