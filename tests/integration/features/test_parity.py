"""Parity of a view: all keys or a sample, with expiry, in portions, and beyond the snapshots where a stream went on."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.jobs.features import Key, Parity, ParityParams, ViewSource
from tests.integration.stream.rig import GRID_SECONDS, Draw, Rig

pytestmark = pytest.mark.tools
START = datetime(2026, 1, 1)
END = START + timedelta(seconds=100)


class World:
    """A view that was materialized up to END, offline and online."""

    def __init__(self, root: Path, ttl_seconds: int | None = None) -> None:
        self.draw = Draw(5)
        history = self.draw.events(200, START, END)
        history.append({**history[0], "id": 10_000, "at": (END - timedelta(seconds=1)).isoformat()})
        self.rig = Rig(root, {"type": "redis", "url": "r"}, history, ttl_seconds=ttl_seconds)
        self.wanted = self.rig.batch([], END)
        Path(self.rig.view.snapshot).parent.mkdir(parents=True)
        (root / "batch" / "made.parquet").rename(self.rig.view.snapshot)
        self.write(END, self.wanted)

    def write(self, until: datetime, rows: dict[int, dict[str, Any]]) -> None:
        from mlctl.runtime.stream.writer import Writer

        writer = Writer(self.rig.view)
        writer.open()
        writer.write([({"household_id": key}, values) for key, values in rows.items()], until)
        writer.close()

    def compare(self, **changes: Any) -> Parity:
        from mlctl.runtime.features.parity import compare
        from mlctl.runtime.report import Report

        view = self.rig.view
        source = ViewSource(
            view="activity", keys=view.keys, path=view.snapshot, features={item.name: item.dtype for item in view.features},
            ttl_seconds=view.ttl_seconds, grid_seconds=GRID_SECONDS,
        )  # fmt: skip
        params = ParityParams(source=source, store=view.store, at=None, tolerance=1e-5)
        return compare(params.model_copy(update=changes), Report(self.rig.folder))


def test_every_key_is_equal_at_the_newest_snapshot(tmp_path: Path) -> None:
    found = World(tmp_path).compare()
    assert found.passed
    assert (found.keys, found.values, found.worst) == (25, 25 * 18, None)
    assert found.at == END.replace(tzinfo=UTC).isoformat()


def test_portions_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from mlctl.runtime.features import parity

    world = World(tmp_path)
    monkeypatch.setattr(parity, "_PORTION", 4)
    world.write(END, {7: {**world.wanted[7], "sum_3": 5e9}})
    found = world.compare()
    assert (found.keys, found.mismatched, found.passed) == (25, 1, False)
    assert found.worst is not None
    assert (found.worst.key, found.worst.feature) == (7, "sum_3")


def test_a_sample_is_the_same_for_a_seed_and_finds_what_it_holds(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.write(END, {key: {**values, "events": key + 1_000_000} for key, values in world.wanted.items()})
    one, again, other = (world.compare(sample=6, seed=seed) for seed in (1, 1, 2))
    assert (one.keys, one.mismatched) == (6, 6)
    assert one == again
    assert one.worst != other.worst


def test_values_that_have_expired_are_missing_on_both_sides(tmp_path: Path) -> None:
    world = World(tmp_path, ttl_seconds=30)
    later = (END + timedelta(seconds=31)).replace(tzinfo=UTC).isoformat()
    found = world.compare(at=later)
    assert found.passed
    assert found.max_relative == 0.0
    world.write(END + timedelta(seconds=2), {3: world.wanted[3]})
    assert world.compare(at=later).null_mismatches == 18 - sum(value is None for value in world.wanted[3].values())


def test_keys_that_are_served_by_something_newer_are_counted_and_prove_nothing(tmp_path: Path) -> None:
    world = World(tmp_path)
    newer = END + timedelta(seconds=10)
    world.write(newer, {3: world.wanted[4]})
    found = world.compare()
    assert (found.passed, found.keys, found.ahead) == (True, 24, 1)
    world.write(newer, world.wanted)
    found = world.compare()
    assert (found.passed, found.keys, found.ahead) == (False, 0, 25)


def test_a_view_that_a_stream_brought_further_is_compared_with_what_the_stream_knew(tmp_path: Path) -> None:
    from mlctl.runtime.stream.log import EventLog
    from mlctl.runtime.stream.served import ServedStep, write_definition, write_served

    world = World(tmp_path)
    events = world.draw.events(60, END, END + timedelta(seconds=20))
    log, until = EventLog(world.rig.log), END + timedelta(seconds=18)
    log.append(events)
    write_definition(world.rig.log, world.rig.view)
    write_served(world.rig.log, ServedStep(until, len(events)))
    world.write(until, world.rig.batch(events, until))
    log.append(world.draw.events(10, END, until))  # late: no step has them yet
    found = world.compare()
    assert (found.passed, found.keys, found.ahead) == (True, 25, 0)
    assert found.at == until.replace(tzinfo=UTC).isoformat()
    world.write(until, {5: {**world.wanted[5], "events": -1}})
    assert not world.compare().passed
    log.close()


def test_a_key_of_several_columns_is_named_whole(tmp_path: Path) -> None:
    from mlctl.runtime.features.values import judge

    source = ViewSource(
        view="v", keys=[Key(name="a", type="int64"), Key(name="b", type="string")], path="p", features={"x": "float64"},
        ttl_seconds=None,
    )  # fmt: skip
    params = ParityParams(source=source, store=World(tmp_path).rig.view.store, at=None, tolerance=0.0)
    worst = judge(params, [([1, "x"], {"x": 1.0}, {"x": 2.0})], "now").worst
    assert worst is not None
    assert worst.key == [1, "x"]
