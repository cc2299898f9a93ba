"""What a plan looks at: targets, what is left out, what is made anew, and what may not be removed."""

from pathlib import Path

import pytest

from mlctl.types.address import Address
from mlctl.types.change import Action, Mode, Plan, Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from tests.properties.worlds import Blocks, World

CHAIN: Blocks = {
    "builds.data": {"value": 2},
    "builds.model": {"value": 4, "uses_builds": ["data"]},
    "services.api": {"value": 1, "uses_builds": ["model"]},
    "things.alone": {"value": 1},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def at(*names: str) -> tuple[Address, ...]:
    return tuple(map(Address.parse, names))


def steps(plan: Plan) -> dict[str, tuple[Action, Reason]]:
    return {str(change.address): (change.action, change.reason) for change in plan if change.effective}


def refusal(world: World, blocks: Blocks, selection: Selection) -> MlctlError:
    with pytest.raises(MlctlError) as caught:
        world.plan(blocks, selection)
    return caught.value


def test_a_target_means_all_its_instances(world: World) -> None:
    blocks: Blocks = {'builds.a["x"]': {}, 'builds.a["y"]': {}, "builds.b": {}}
    assert steps(world.plan(blocks, Selection(at("builds.a")))).keys() == {'builds.a["x"]', 'builds.a["y"]'}
    assert steps(world.plan(blocks, Selection(at('builds.a["y"]')))).keys() == {'builds.a["y"]'}


def test_what_is_excluded_takes_along_what_depends_on_it(world: World) -> None:
    assert steps(world.plan(CHAIN, Selection(exclude=at("builds.model")))).keys() == {"builds.data", "things.alone"}


def test_an_excluded_address_keeps_what_it_has(world: World) -> None:
    world.apply(CHAIN)
    plan = world.plan({}, Selection(exclude=at("things.alone")))
    assert {str(change.address) for change in plan} == {"builds.data", "builds.model", "services.api"}


def test_all_unknown_addresses_are_told_at_once(world: World) -> None:
    error = refusal(world, CHAIN, Selection(at("builds.dada", "builds.zzz")))
    assert [item.code for item in error.diagnostics] == ["plan.unknown-target"] * 2
    assert "builds.data" in error.diagnostics[0].fix


@pytest.mark.parametrize(
    "selection",
    [
        Selection(at("builds.data"), at("builds.data")),
        Selection(at("services.api"), at("builds.data")),
        Selection(at("things.alone"), replace=at("builds.data")),
    ],
    ids=["the same", "left out with what it depends on", "made anew and not a target"],
)
def test_choices_that_contradict_each_other_are_refused(world: World, selection: Selection) -> None:
    assert {item.code for item in refusal(world, CHAIN, selection).diagnostics} == {"plan.contradiction"}


def test_a_build_is_made_anew_as_another_attempt_and_the_old_one_serves_until_then(world: World) -> None:
    world.apply(CHAIN)
    first = world.plan(CHAIN).changes[0].key
    selection = Selection(replace=at("builds.data"))
    plan = world.plan(CHAIN, selection)
    assert plan.changes[0].key != first
    assert steps(plan)["builds.data"] == (Action.RUN, Reason.REQUESTED)
    world.tool.faults = {len(world.tool.calls): "refuse"}
    world.apply(CHAIN, selection=selection)
    assert str(first) in world.tool.objects
    calls = len(world.tool.calls)
    world.apply(CHAIN)  # what was begun goes on, though nobody asks for it again
    assert world.tool.calls[calls:] == [f"make {plan.changes[0].key}"]  # and the same output stops there
    assert world.plan(CHAIN).empty
    assert world.plan(CHAIN).changes[0].reason is Reason.SAME


def test_each_request_is_one_more_attempt(world: World) -> None:
    world.apply({"builds.a": {}})
    for _ in range(3):
        world.apply({"builds.a": {}}, selection=Selection(replace=at("builds.a")))
    numbers = [record.parts.get("attempt") for record in world.ledger().at(Address("builds", "a"))]
    assert numbers == ["4", "3", "2", None]


def test_what_is_no_build_is_deleted_and_made_under_the_same_key(world: World) -> None:
    world.apply(CHAIN)
    calls = len(world.tool.calls)
    selection = Selection(replace=at("services.api"))
    assert steps(world.plan(CHAIN, selection)) == {"services.api": (Action.REPLACE, Reason.REQUESTED)}
    world.apply(CHAIN, selection=selection)
    assert world.tool.calls[calls:] == ["remove services.api#", "make services.api#"]
    assert world.plan(CHAIN).empty


def test_a_destroy_leaves_what_is_excluded_and_what_that_uses(world: World) -> None:
    world.apply(CHAIN)
    world.destroy(exclude=at("builds.model"))
    assert {name.partition("#")[0] for name in world.tool.objects} == {"builds.data", "builds.model"}


def test_a_destroy_follows_depends_on_too(world: World) -> None:
    world.apply({"builds.a": {}, "things.b": {"depends_on": ["builds.a"]}, "services.c": {"depends_on": ["things.b"]}})
    calls = len(world.tool.calls)
    world.destroy()
    assert [call.partition("#")[0] for call in world.tool.calls[calls:]] == [
        "remove services.c", "remove things.b", "remove builds.a"
    ]  # fmt: skip


PROTECTED: Blocks = {"things.a": {"label": "x", "lifecycle": {"prevent_destroy": True}}}


@pytest.mark.parametrize(
    ("blocks", "selection"),
    [({}, Selection()), ({"things.a": {"label": "y"}}, Selection()), (PROTECTED, Selection(replace=at("things.a")))],
    ids=["removed", "replaced", "made anew"],
)
def test_what_is_protected_is_not_removed(world: World, blocks: Blocks, selection: Selection) -> None:
    world.apply(PROTECTED)
    error = refusal(world, blocks, selection)
    assert error.exit_code is ExitCode.POLICY
    (problem,) = error.diagnostics
    assert problem.code == "plan.protected"
    assert "things.a" in problem.summary
    assert "prevent_destroy: false" in problem.fix


def test_protection_is_lifted_only_by_saying_so(world: World) -> None:
    world.apply(PROTECTED)
    world.apply({"things.a": {"label": "x"}})
    assert refusal(world, {}, Selection()).diagnostics[0].code == "plan.protected"
    with pytest.raises(MlctlError, match="protected"):
        world.destroy()
    lifted: Blocks = {"things.a": {"label": "x", "lifecycle": {"prevent_destroy": False}}}
    assert steps(world.plan(lifted)) == {"things.a": (Action.UPDATE, Reason.METADATA)}
    calls = len(world.tool.calls)
    world.apply(lifted)
    assert len(world.tool.calls) == calls
    assert world.plan(lifted).empty
    world.destroy()
    assert not world.tool.objects


def test_a_protected_build_is_kept_beyond_the_retained(world: World) -> None:
    world.apply({"builds.a": {"value": 1, "lifecycle": {"prevent_destroy": True}}})
    for value in (2, 3, 4):
        world.apply({"builds.a": {"value": value, "lifecycle": {"prevent_destroy": False, "retain": 1}}})
    assert [record.spec["value"] for record in world.ledger().at(Address("builds", "a"))] == [4, 3, 1]


def test_ignored_fields_stand_as_they_were_recorded(world: World) -> None:
    made: Blocks = {"builds.a": {"value": 1}, "services.s": {"value": 1, "uses_builds": ["a"]}}
    world.apply(made)
    ignoring = {name: {**block, "lifecycle": {"ignore_changes": ["value"]}} for name, block in made.items()}
    world.apply(ignoring)
    calls = len(world.tool.calls)
    edited = {name: {**block, "value": 7} for name, block in ignoring.items()}
    assert world.plan(edited).empty
    world.tool.objects["services.s#"].spec = {"value": 9}
    assert world.plan(edited).empty  # drift on it is not told
    world.apply({name: {**block, "note": "n"} for name, block in edited.items()})
    assert len(world.tool.calls) == calls


def test_refresh_only_notes_what_was_observed_and_touches_nothing(world: World) -> None:
    world.apply(CHAIN)
    calls = len(world.tool.calls)
    world.tool.objects["services.api#"].spec = {"value": 9}
    del world.tool.objects["things.alone#" + world.ledger().at(Address("things", "alone"))[0].key.identity]
    plan = world.plan(CHAIN, Selection(mode=Mode.REFRESH_ONLY))
    assert steps(plan) == {
        "services.api": (Action.UPDATE, Reason.DRIFTED),
        "things.alone": (Action.FORGET, Reason.GONE),
    }
    world.accept(CHAIN)
    assert len(world.tool.calls) == calls
    assert world.ledger().current(Address("things", "alone")) is None
    assert steps(world.plan(CHAIN)) == {
        "services.api": (Action.UPDATE, Reason.SPEC),
        "things.alone": (Action.CREATE, Reason.NEW),
    }


def test_a_failed_gate_holds_through_what_stays_as_it_is(world: World) -> None:
    blocks: Blocks = {
        "builds.check": {"value": 5, "gate": 3},
        "builds.model": {"depends_on": ["builds.check"]},
        "services.api": {"uses_builds": ["model"]},
    }
    world.apply(blocks)
    failing = {
        **blocks,
        "builds.check": {"value": 1, "gate": 3},
        "services.api": {"value": 2, "uses_builds": ["model"]},
    }
    applied = world.apply(failing)
    assert applied is not None
    assert [str(step.change.address) for step in applied.skipped] == ["services.api"]
    assert [str(change.address) for change in world.plan(failing).blocked] == ["services.api"]
