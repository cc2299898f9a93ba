"""Estimates in plans: who is asked, with what, and that they change nothing of what is done."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.engine.saved import staleness
from mlctl.provider import Context, Desired
from mlctl.testing.fake import fake_kinds
from mlctl.types.change import Action, Plan
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate, Range
from mlctl.types.state import Record
from tests.properties.worlds import Blocks, World

CHAIN: Blocks = {"builds.data": {"value": 2}, "builds.model": {"value": 4, "uses_builds": ["data"]}}


def foreseeing(world: World, most: int = 100) -> list[list[str]]:
    """Give the builds of a world estimates of as many bytes as their value, at most so many. Notes what was made before."""
    asked: list[list[str]] = []
    kind = next(item for item in fake_kinds(world.tool) if item.section == "builds")

    class Foreseeing(type(kind)):  # type: ignore[misc]
        def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate:
            asked.append([str(record.key.address) for record in made])
            if desired.spec.value > most:
                raise MlctlError.of("fake.too-large", f"{desired.address} is too large", address=str(desired.address))
            return Estimate("cpu", 1, memory=Range.exactly(float(desired.spec.value)), seconds=Range.exactly(1.0))

    world.kinds["builds"] = Foreseeing(world.tool)
    return asked


@pytest.fixture
def world(tmp_path: Path) -> World:
    return World(tmp_path)


def sizes(plan: Plan) -> dict[str, float | None]:
    return {
        str(item.address): None if item.estimate is None or item.estimate.memory is None else item.estimate.memory.mid
        for item in plan
    }


def test_what_is_to_be_made_is_foreseen_and_nothing_else(world: World) -> None:
    asked = foreseeing(world)
    blocks: Blocks = {**CHAIN, "things.t": {"value": 1}}
    assert sizes(world.plan(blocks)) == {"builds.data": 2.0, "builds.model": 4.0, "things.t": None}
    world.apply(blocks)
    asked.clear()
    noted: Blocks = {**blocks, "builds.data": {"value": 2, "note": "only a remark"}}
    assert set(sizes(world.plan(noted)).values()) == {None}
    assert asked == []


def test_a_kind_is_told_what_it_made_before_oldest_first(world: World) -> None:
    asked = foreseeing(world)
    world.apply(CHAIN)
    asked.clear()
    world.plan({**CHAIN, "builds.data": {"value": 8}})
    assert asked == [["builds.data", "builds.model"]] * 2


def test_what_cannot_be_done_at_all_is_refused_before_anything_starts(world: World) -> None:
    foreseeing(world, most=3)
    with pytest.raises(MlctlError) as error:
        world.plan(CHAIN)
    assert [item.code for item in error.value.diagnostics] == ["fake.too-large"]
    assert world.tool.calls == []


def test_what_was_foreseen_is_kept_with_what_was_made(world: World) -> None:
    foreseeing(world)
    world.apply(CHAIN)
    kept = {str(record.key.address): record.provenance["estimate"] for record in world.ledger()}
    assert kept["builds.model"]["memory"]["mid"] == 4.0  # type: ignore[index,call-overload]


def test_an_estimate_that_changed_makes_no_plan_stale(world: World) -> None:
    foreseeing(world)
    before = world.plan(CHAIN)
    other = Estimate("H100", 8)
    now = replace(before, changes=tuple(replace(item, estimate=other) for item in before))
    assert staleness.differences(before, now) == []
    assert all(item.action is Action.CREATE for item in before)


def test_a_kind_that_gives_something_else_is_named(world: World) -> None:
    kind = next(item for item in fake_kinds(world.tool) if item.section == "builds")

    class Wrong(type(kind)):  # type: ignore[misc]
        def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> int:
            return 7

    world.kinds["builds"] = Wrong(world.tool)
    with pytest.raises(MlctlError) as error:
        world.plan(CHAIN)
    (found,) = error.value.diagnostics
    assert found.code == "bug.kind"
    assert "Wrong.estimate" in found.summary
