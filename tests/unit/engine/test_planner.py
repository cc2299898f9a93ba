"""What the planner decides, and why: one test for each line of the contract."""

from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.ledger import Ledger
from mlctl.engine.planner import RETAINED_BUILDS
from mlctl.engine.store import LocalStore
from mlctl.provider import Condition, Observed
from mlctl.types.address import Address
from mlctl.types.change import Action, Change, FieldClass, Plan, Reason, Selection
from mlctl.types.diagnostic import ExitCode, MlctlError
from tests.properties.worlds import Blocks, World

CHAIN: Blocks = {
    "builds.data": {"value": 2},
    "builds.model": {"value": 4, "uses_builds": ["data"]},
    "services.api": {"value": 1, "uses_builds": ["model"]},
}


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def edited(blocks: Blocks, address: str, **fields: Any) -> Blocks:
    return {**blocks, address: {**blocks[address], **fields}}


def steps(plan: Plan) -> dict[str, tuple[Action, Reason]]:
    return {str(change.address): (change.action, change.reason) for change in plan if change.effective}


def change(plan: Plan, address: str) -> Change:
    return next(item for item in plan if str(item.address) == address)


@pytest.mark.contract(1)
def test_new_resources_are_created_in_order_of_dependence(world: World) -> None:
    plan = world.plan(CHAIN)
    assert [str(item.address) for item in plan] == ["builds.data", "builds.model", "services.api"]
    assert set(steps(plan).values()) == {(Action.CREATE, Reason.NEW)}


def test_nothing_changed_is_an_empty_plan(world: World) -> None:
    world.apply(CHAIN)
    assert world.plan(CHAIN).empty
    assert world.plan(CHAIN).summary()["unchanged"] == 3


def test_a_changed_build_runs_again_and_what_depends_on_it_may(world: World) -> None:
    world.apply(CHAIN)
    plan = world.plan(edited(CHAIN, "builds.data", value=4))
    assert steps(plan) == {
        "builds.data": (Action.RUN, Reason.SPEC),
        "builds.model": (Action.RUN, Reason.INPUT_UNKNOWN),
        "services.api": (Action.UPDATE, Reason.INPUT_UNKNOWN),
    }
    assert change(plan, "builds.model").conditional
    assert [(item.path, item.old, item.new) for item in change(plan, "builds.data").fields] == [("value", 2, 4)]


def test_a_field_that_holds_what_an_input_gave_is_no_change_of_the_project(world: World) -> None:
    blocks: Blocks = {"builds.data": {"value": 2}, "builds.model": {"value": 4, "label": "${builds.data.digest}"}}
    world.apply(blocks)
    applied = world.apply(edited(blocks, "builds.data", value=8))
    assert applied is not None
    assert {str(step.change.address): step.change.reason for step in applied.done} == {
        "builds.data": Reason.SPEC,
        "builds.model": Reason.INPUT,
    }
    written = edited(blocks, "builds.data", value=20)
    applied = world.apply(edited(written, "builds.model", value=5))
    assert applied is not None
    assert {step.change.reason for step in applied.done} == {Reason.SPEC}


@pytest.mark.contract(5)
def test_the_same_output_stops_there(world: World) -> None:
    world.apply(CHAIN)
    calls = len(world.tool.calls)
    applied = world.apply(edited(CHAIN, "builds.data", value=3))  # half of 3 is half of 2: the same digest
    assert applied is not None
    assert [call.partition("#")[0] for call in world.tool.calls[calls:]] == ["make builds.data"]
    assert sorted(str(step.change.address) for step in applied.done if step.reused) == ["builds.model", "services.api"]


def test_going_back_to_an_old_build_costs_nothing(world: World) -> None:
    world.apply(CHAIN)
    world.apply(edited(CHAIN, "builds.model", value=8))
    calls = len(world.tool.calls)
    plan = world.plan(CHAIN)
    assert change(plan, "builds.model").reason is Reason.CACHED
    assert steps(plan) == {"services.api": (Action.UPDATE, Reason.INPUT)}
    world.apply(CHAIN)
    assert [call.partition("#")[0] for call in world.tool.calls[calls:]] == ["make services.api"]
    assert world.plan(CHAIN).empty


def test_an_old_build_that_no_longer_holds_is_made_good_and_is_no_drift(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as an alias that a newer build took over: mlctl did that itself. The same of the build in use is drift."""
    world.apply(CHAIN)
    newer = edited(CHAIN, "builds.model", value=8)
    world.apply(newer)
    moved = Observed(condition=Condition.BROKEN, detail="the alias points elsewhere")
    monkeypatch.setattr(
        world.kinds["builds"], "read", lambda prior, ctx: moved if prior.key.address.name == "model" else Observed()
    )
    for blocks, drift in ((CHAIN, False), (newer, True)):
        found = change(world.plan(blocks), "builds.model")
        assert (found.action, found.reason, found.drift) == (Action.RUN, Reason.BROKEN, drift)


@pytest.mark.contract(15)
def test_old_builds_are_kept_up_to_a_number(world: World) -> None:
    for value in range(RETAINED_BUILDS + 4):
        world.apply({"builds.a": {"value": value}})
    assert len(Ledger(LocalStore(world.home).read()).at(Address("builds", "a"))) == RETAINED_BUILDS + 1
    assert len(world.tool.objects) == RETAINED_BUILDS + 1


def test_metadata_changes_the_record_and_runs_nothing(world: World) -> None:
    world.apply(CHAIN)
    calls = len(world.tool.calls)
    blocks = edited(edited(CHAIN, "builds.model", note="new", tags={"a": "b"}), "services.api", description="x")
    plan = world.plan(blocks)
    assert set(steps(plan).values()) == {(Action.UPDATE, Reason.METADATA)}
    assert change(plan, "builds.model").field_class is FieldClass.METADATA
    world.apply(blocks)
    assert len(world.tool.calls) == calls
    assert world.plan(blocks).empty


def test_another_identity_is_a_replacement_and_the_old_object_goes_after_its_users_moved(world: World) -> None:
    blocks: Blocks = {"things.a": {"label": "x"}, "services.s": {"uses_things": ["a"]}}
    world.apply(blocks)
    calls = len(world.tool.calls)
    plan = world.plan(edited(blocks, "things.a", label="y"))
    assert steps(plan)["things.a"] == (Action.REPLACE, Reason.SPEC)
    assert plan.summary()["replace"] == 1
    assert plan.summary()["destroy"] == 0
    world.apply(edited(blocks, "things.a", label="y"))
    assert [call.split("#")[0] for call in world.tool.calls[calls:]] == [
        "make things.a", "make services.s", "remove things.a"
    ]  # fmt: skip
    assert not world.tool.violations


@pytest.mark.contract(2)
@pytest.mark.contract(6)
def test_what_was_changed_outside_is_put_back(world: World) -> None:
    world.apply(CHAIN)
    name = next(name for name in world.tool.objects if name.startswith("services.api"))
    world.tool.objects[name].spec = {"value": 7}
    found = change(world.plan(CHAIN), "services.api")
    assert (found.action, found.reason, found.drift) == (Action.UPDATE, Reason.DRIFTED, True)
    assert [(item.path, item.old, item.new, item.observed) for item in found.fields] == [("value", 1, 1, 7)]
    world.apply(CHAIN)
    assert world.tool.objects[name].spec["value"] == 1


def test_what_is_gone_is_made_again(world: World) -> None:
    world.apply(CHAIN)
    world.tool.objects.clear()
    assert steps(world.plan(CHAIN))["builds.data"] == (Action.RUN, Reason.GONE)
    assert change(world.plan(CHAIN), "builds.data").drift
    world.apply(CHAIN)
    assert world.plan(CHAIN).empty


@pytest.mark.contract(6)
def test_refresh_false_takes_the_record_at_its_word(world: World) -> None:
    world.apply(CHAIN)
    world.tool.objects.clear()
    assert world.plan(CHAIN, Selection(refresh=False)).empty


@pytest.mark.contract(17)
def test_removed_blocks_go_dependents_first(world: World) -> None:
    world.apply(CHAIN)
    plan = world.plan({})
    assert [str(item.address) for item in plan] == ["services.api", "builds.model", "builds.data"]
    assert {item.reason for item in plan} == {Reason.REMOVED}
    world.apply({})
    assert world.tool.objects == {}
    assert not world.tool.violations


def test_what_a_build_may_go_on_using_is_not_promised_to_be_removed(world: World) -> None:
    world.apply(CHAIN)
    renamed: Blocks = {
        "builds.facts": {"value": 2},
        "builds.model": {"value": 4, "uses_builds": ["facts"]},
        "services.api": CHAIN["services.api"],
    }
    removal = next(item for item in world.plan(renamed) if str(item.address) == "builds.data")
    assert removal.conditional, "the model has the same content, and may stay with what it was made with"
    world.apply(renamed)
    assert "builds.data" in {str(key.address) for key in LocalStore(world.home).read().objects}
    sure = next(item for item in world.plan({"builds.facts": {"value": 2}}) if str(item.address) == "builds.data")
    assert not sure.conditional


@pytest.mark.contract(13)
def test_a_failed_gate_holds_its_dependents_back_and_keeps_its_verdict(world: World) -> None:
    good: Blocks = {"builds.check": {"value": 5, "gate": 3}, "services.api": {"uses_builds": ["check"]}}
    world.apply(good)
    bad = edited(good, "builds.check", value=1)
    applied = world.apply(bad)
    assert applied is not None
    assert applied.exit_code is ExitCode.GATE_FAILED
    assert [str(step.because) for step in applied.skipped] == ["builds.check"]
    plan = world.plan(bad)
    assert [str(item.address) for item in plan.blocked] == ["services.api"]
    assert change(plan, "builds.check").gate is not None
    calls = len(world.tool.calls)
    again = world.apply(bad)
    assert again is not None
    assert (again.exit_code, len(world.tool.calls)) == (ExitCode.GATE_FAILED, calls), "a verdict is not asked for twice"
    assert world.apply(good) is not None
    assert world.plan(good).empty


def test_a_guard_stands_before_everything_that_uses_what_it_guards(world: World) -> None:
    blocks: Blocks = {
        "builds.data": {"value": 2},
        "builds.check": {"value": 1, "gate": 3, "guarded": "data"},
        "builds.model": {"value": 4, "uses_builds": ["data"]},
        "services.other": {"value": 1},
    }
    applied = world.apply(blocks)
    assert applied is not None
    assert [str(step.change.address) for step in applied.skipped] == ["builds.model"]
    assert any(name.startswith("services.other") for name in world.tool.objects), "what does not depend on it goes on"


@pytest.mark.contract(12)
def test_a_failure_skips_its_dependents_only(world: World) -> None:
    blocks = {**CHAIN, "services.zother": {"value": 1}}
    world.tool.faults = {1: "refuse"}
    applied = world.apply(blocks)
    assert applied is not None
    assert [str(step.change.address) for step in applied.failed] == ["builds.model"]
    assert [str(step.change.address) for step in applied.skipped] == ["services.api"]
    assert applied.exit_code is ExitCode.PARTLY_APPLIED
    assert steps(world.plan(blocks))["builds.model"] == (Action.RUN, Reason.UNFINISHED)


def test_the_plan_after_a_failure_says_what_failed(world: World) -> None:
    world.tool.faults = {1: "refuse"}
    world.apply(CHAIN)
    [step] = [item for item in world.plan(CHAIN).changes if str(item.address) == "builds.model"]
    assert step.detail.startswith("an earlier apply failed: ")


@pytest.mark.contract(8)
def test_a_target_brings_what_it_depends_on_and_leaves_the_rest(world: World) -> None:
    plan = world.plan(CHAIN, Selection((Address("builds", "model"),)))
    assert [str(item.address) for item in plan] == ["builds.data", "builds.model"]


def test_an_unknown_target_is_refused(world: World) -> None:
    with pytest.raises(MlctlError) as caught:
        world.plan(CHAIN, Selection((Address("builds", "modle"),)))
    assert caught.value.diagnostics[0].fix == "did you mean `builds.model`?"


def test_targeted_destroy_takes_what_was_made_with_it(world: World) -> None:
    world.apply(CHAIN)
    world.destroy((Address("builds", "model"),))
    assert [name.partition("#")[0] for name in world.tool.objects] == ["builds.data"]


def test_a_kind_that_breaks_is_a_bug_and_loses_nothing(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("inside a kind")

    monkeypatch.setattr(world.tool, "make", broken)
    applied = world.apply({"builds.a": {}})
    assert applied is not None
    assert applied.exit_code is ExitCode.BUG
    monkeypatch.undo()
    world.check({"builds.a": {}})
