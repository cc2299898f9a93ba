"""Random histories: edits, refused calls, deaths before and after a call. Whatever happened, one apply heals."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

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
    for section in ("builds", "things", "services"):
        for name in draw(st.lists(st.sampled_from(NAMES), unique=True, max_size=3)):
            block: dict[str, Any] = {"value": draw(st.integers(0, 5))}
            builds = [address.partition(".")[2] for address in blocks if address.startswith("builds.")]
            things = [address.partition(".")[2] for address in blocks if address.startswith("things.")]
            if builds:
                block["uses_builds"] = draw(st.lists(st.sampled_from(builds), unique=True, max_size=2))
            if things:
                block["uses_things"] = draw(st.lists(st.sampled_from(things), unique=True, max_size=2))
            if section == "things":
                block["label"] = draw(st.sampled_from(["", "x", "y"]))
            if section == "builds":
                block["gate"] = draw(st.sampled_from([None, None, 0, 3]))
                if builds and draw(st.booleans()):
                    block["guarded"] = draw(st.sampled_from(builds))
                    block["uses_builds"] = []  # else it might wait for what waits for it
            block["note"] = draw(st.sampled_from(["", "n"]))
            blocks[f"{section}.{name}"] = block
    return blocks


steps = st.tuples(projects(), st.dictionaries(st.integers(0, 12), st.sampled_from(FAULTS), max_size=3), st.booleans())


@given(history=st.lists(steps, min_size=1, max_size=5), last=projects())
@settings(max_examples=HISTORIES, deadline=None, suppress_health_check=list(HealthCheck))
def test_one_apply_heals_whatever_happened(history: list[tuple[Blocks, dict[int, str], bool]], last: Blocks) -> None:
    with tempfile.TemporaryDirectory(dir=MEMORY) as folder:
        world = World(Path(folder))
        for blocks, faults, outside in history:
            world.tool.faults = {len(world.tool.calls) + number: fault for number, fault in faults.items()}
            world.apply(blocks)
            if outside and world.tool.objects:  # somebody changes an object behind our back
                name = sorted(world.tool.objects)[0]
                world.tool.objects[name].spec = {**world.tool.objects[name].spec, "value": 9}
        world.check(last)


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
