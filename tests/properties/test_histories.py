"""Random histories: edits, refused calls, deaths at every call and journal line. Whatever happened, one apply heals."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlctl.types.address import Address, ObjectKey
from tests.properties.histories import FAULTS, HISTORIES, MEMORY, projects, run
from tests.properties.worlds import Blocks, World, unprotected


@pytest.mark.contract(1)
@pytest.mark.contract(11)
def test_one_apply_heals_whatever_happened() -> None:
    run(HISTORIES)


@given(history=st.lists(projects(), min_size=1, max_size=3), data=st.data())
@settings(max_examples=max(HISTORIES // 10, 25), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_targeted_destroy_takes_its_users_and_leaves_the_rest(history: list[Blocks], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        for blocks in history:
            world.edit(unprotected)
            world.apply(blocks)
        world.edit(unprotected)
        made = sorted({ObjectKey.parse(name).address for name in world.tool.objects})
        if made:
            target = data.draw(st.sampled_from(made))
            spared = data.draw(st.sampled_from([(), *((other,) for other in made if other != target)]))
            before = {name: set(item.inputs) for name, item in world.tool.objects.items()}
            lost = users_of(before, {name for name in before if ObjectKey.parse(name).address == target})
            lost -= used_by(before, {name for name in before if ObjectKey.parse(name).address in spared})
            applied = world.destroy((target,), spared)
            assert applied is not None
            assert not applied.failed
            assert set(world.tool.objects) == before.keys() - lost
        world.check({name: {**block, "lifecycle": {}} for name, block in history[-1].items()})


def users_of(objects: dict[str, set[str]], found: set[str]) -> set[str]:
    """Objects and all that was made with them."""
    while more := {name for name, inputs in objects.items() if inputs & found} - found:
        found = found | more
    return found


def used_by(objects: dict[str, set[str]], found: set[str]) -> set[str]:
    """Objects and all they were made with."""
    while more := {used for name in found for used in objects.get(name, ())} - found:
        found = found | more
    return found


@given(blocks=projects(), faults=st.dictionaries(st.integers(0, 9), st.sampled_from(FAULTS), max_size=2))
@settings(max_examples=max(HISTORIES // 10, 25), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.contract(17)
def test_destroy_leaves_nothing(blocks: Blocks, faults: dict[int, str]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        world.apply(blocks)
        world.edit(unprotected)
        world.tool.faults = {len(world.tool.calls) + number: fault for number, fault in faults.items()}
        world.destroy()
        world.tool.faults.clear()
        applied = world.destroy()
        assert applied is not None
        assert not applied.failed
        assert world.tool.objects == {}
        assert world.tool.violations == []


@given(blocks=projects(), before=projects())
@settings(max_examples=max(HISTORIES // 10, 20), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.contract(12)
def test_a_parallel_apply_ends_in_the_same_objects(blocks: Blocks, before: Blocks) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as one, tempfile.TemporaryDirectory(dir=MEMORY) as many:
        serial, parallel = World(Path(one)), World(Path(many))
        for world, parallelism in ((serial, 1), (parallel, 4)):
            for found in (before, blocks):
                world.edit(unprotected)
                world.apply(found, parallelism=parallelism)
        assert serial.tool.objects == parallel.tool.objects
        assert parallel.tool.violations == []


@given(history=st.lists(projects(), min_size=1, max_size=2), data=st.data())
@settings(max_examples=max(HISTORIES // 10, 20), deadline=None, suppress_health_check=list(HealthCheck))
@pytest.mark.contract(3)
@pytest.mark.contract(18)
def test_a_rename_runs_no_build_again(history: list[Blocks], data: st.DataObject) -> None:
    """Every name in the project changes at once, and what uses it with it."""
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        blocks = {name: {**block, "lifecycle": {}} for name, block in history[-1].items() if name.startswith("builds.")}
        world.apply(blocks)
        calls = len(world.tool.calls)
        target = {name: f"{name}2" for name in blocks}
        moved = tuple((Address.parse(name), Address.parse(new)) for name, new in target.items())
        renamed = {target[name]: _renamed(block, target) for name, block in blocks.items()}
        applied = world.apply(renamed, moved=moved)
        assert applied is not None
        assert not applied.failed
        assert world.tool.calls[calls:] == []
        world.check(renamed)


def _renamed(block: dict[str, object], target: dict[str, str]) -> dict[str, object]:
    found = dict(block)
    for name, item in block.items():
        if name == "depends_on" and isinstance(item, list):
            found[name] = [target[address] for address in item]
        elif name == "uses_builds" and isinstance(item, list):
            found[name] = [f"{text}2" for text in item]
        elif name == "guarded":
            found[name] = f"{item}2"
    return found
