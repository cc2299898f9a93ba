"""Random histories: edits, refused calls, deaths before and after a call. Whatever happened, one apply heals."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlctl.types.address import Address, ObjectKey
from tests.properties.worlds import Blocks, World

HISTORIES = int(os.environ.get("MLCTL_HISTORIES", "300"))
NAMES = ["a", "b", "c", "d"]
MEMORY = (
    "/dev/shm" if Path("/dev/shm").is_dir() else None
)  # every journal line is fsync'd; a disk would be most of the time
FAULTS = ["refuse", "crash-before", "crash-after"]


@st.composite
def projects(draw: st.DrawFn) -> Blocks:
    """Up to nine resources in which each refers only to earlier ones."""
    blocks: Blocks = {}
    models: list[str] = []
    for section in ("builds", "things", "services"):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
            block: dict[str, Any] = {"value": draw(st.integers(0, 5))}
            builds = [address.partition(".")[2] for address in blocks if address.startswith("builds.")]
            things = [address.partition(".")[2] for address in blocks if address.startswith("things.")]
            guarded = section == "builds" and builds and draw(st.booleans())
            if guarded:  # it names nothing else, or it might wait for what waits for it
                block["guarded"] = draw(st.sampled_from(builds))
            else:
                if builds:
                    block["uses_builds"] = draw(st.lists(st.sampled_from(builds), unique=True, max_size=2))
                if things:
                    block["uses_things"] = draw(st.lists(st.sampled_from(things), unique=True, max_size=2))
                if models:
                    block["uses_model"] = draw(st.sampled_from([None, *models]))
                if blocks:
                    block["depends_on"] = draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, max_size=1))
            if section == "things":
                block["label"] = draw(st.sampled_from(["", "x", "y"]))
            if section == "builds":
                block["gate"] = draw(st.sampled_from([None, None, 0, 3]))
            block["note"] = draw(st.sampled_from(["", "n"]))
            offers = draw(st.sampled_from(["", "", "m", "n"]))
            if offers and offers not in models:
                models.append(offers)
                block["offers"] = offers
            blocks[f"{section}.{name}"] = block
    return blocks


@st.composite
def steps(draw: st.DrawFn) -> tuple[Blocks, dict[int, str], str, dict[str, Any]]:
    """A project, the faults while it is applied, what happens to it afterwards, and the options of the apply."""
    blocks = draw(projects())
    faults = draw(st.dictionaries(st.integers(0, 12), st.sampled_from(FAULTS), max_size=3))
    options: dict[str, Any] = {"refresh": draw(st.sampled_from([True, True, False]))}
    if blocks and draw(st.booleans()):
        names = draw(st.lists(st.sampled_from(sorted(blocks)), unique=True, min_size=1, max_size=2))
        options["targets"] = tuple(map(Address.parse, names))
    return blocks, faults, draw(st.sampled_from(["", "", "change", "break"])), options


@given(history=st.lists(steps(), min_size=1, max_size=5), last=projects())
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_apply_heals_whatever_happened(
    history: list[tuple[Blocks, dict[int, str], str, dict[str, Any]]], last: Blocks
) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        for blocks, faults, outside, options in history:
            world.tool.faults = {len(world.tool.calls) + number: fault for number, fault in faults.items()}
            world.apply(blocks, **options)
            if outside:
                world.spoil(outside)
        world.check(last)


@given(history=st.lists(projects(), min_size=1, max_size=3), data=st.data())
@settings(max_examples=max(HISTORIES // 4, 25), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_targeted_destroy_takes_its_users_and_leaves_the_rest(history: list[Blocks], data: st.DataObject) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        for blocks in history:
            world.apply(blocks)
        made = sorted({ObjectKey.parse(name).address for name in world.tool.objects})
        if made:
            target = data.draw(st.sampled_from(made))
            before = {name: set(item.inputs) for name, item in world.tool.objects.items()}
            lost = {name for name in before if ObjectKey.parse(name).address == target}
            while more := {name for name, inputs in before.items() if inputs & lost} - lost:
                lost |= more
            applied = world.destroy((target,))
            assert applied is not None
            assert not applied.failed
            assert set(world.tool.objects) == before.keys() - lost
        world.check(history[-1])


@given(blocks=projects(), faults=st.dictionaries(st.integers(0, 9), st.sampled_from(FAULTS), max_size=2))
@settings(max_examples=max(HISTORIES // 4, 25), deadline=None, suppress_health_check=list(HealthCheck))
def test_destroy_leaves_nothing(blocks: Blocks, faults: dict[int, str]) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        world.apply(blocks)
        world.tool.faults = {len(world.tool.calls) + number: fault for number, fault in faults.items()}
        world.destroy()
        world.tool.faults.clear()
        applied = world.destroy()
        assert applied is not None
        assert not applied.failed
        assert world.tool.objects == {}
        assert world.tool.violations == []


@given(blocks=projects())
@settings(max_examples=max(HISTORIES // 10, 20), deadline=None, suppress_health_check=list(HealthCheck))
def test_a_parallel_apply_ends_in_the_same_objects(blocks: Blocks) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as one, tempfile.TemporaryDirectory(dir=MEMORY) as many:
        serial, parallel = World(Path(one)), World(Path(many))
        serial.apply(blocks)
        parallel.apply(blocks, parallelism=4)
        assert serial.tool.objects == parallel.tool.objects
        assert parallel.tool.violations == []
