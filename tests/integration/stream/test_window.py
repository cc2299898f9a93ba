"""The windows of a step are, bit for bit, what the batch computes over the same events."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.features import windows
from mlctl.runtime.profile.database import database
from mlctl.runtime.stream.log import EventLog
from mlctl.runtime.stream.window import Window
from mlctl.types.jobs.features import MaterializeParams, StreamLog
from tests.integration.stream.rig import GRID_SECONDS, Draw, Rig

pytestmark = pytest.mark.tools
START = datetime(2026, 1, 1)


def batch(view: MaterializeParams, log: Path, events: int, end: datetime, folder: Path) -> dict[int, dict[str, Any]]:
    """The snapshots of one moment, over the dataset and so many events of the log."""
    made, names = folder / "batch.parquet", [item.name for item in view.features]
    listed = ", ".join(f'"{name}"' for name in names)
    with database(folder) as connection:
        with_log = view.model_copy(update={"log": StreamLog(folder=str(log), events=events)})
        windows.compute(connection, with_log, made)
        rows = connection.execute(
            f"SELECT household_id, {listed} FROM read_parquet('{made}') "
            f"WHERE event_timestamp = TIMESTAMP '{end.isoformat()}'"
        ).fetchall()
    return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}


@pytest.mark.parametrize(("seed", "ttl_seconds"), [(1, None), (2, 30)])
def test_each_step_is_the_batch_over_the_same_events(tmp_path: Path, seed: int, ttl_seconds: int | None) -> None:
    draw = Draw(seed)
    history = draw.events(200, START, START + timedelta(seconds=160))
    rig = Rig(tmp_path, {"type": "redis", "url": "redis://localhost"}, history, ttl_seconds=ttl_seconds)
    waiting = draw.events(250, START + timedelta(seconds=120), START + timedelta(seconds=200))
    log, window = EventLog(rig.log), Window(rig.view, rig.log, rig.folder)
    window.fill(START)
    known: list[dict[str, Any]] = []
    online: dict[int, dict[str, Any]] = {}
    closed = None
    for step in range(66, 101, 5):
        end = START + timedelta(seconds=GRID_SECONDS * step)
        # most events of the step, some of those before it, and some again: of the history and of the stream
        come = [item for item in waiting if item["at"] < end.isoformat() and draw.random.random() < 0.7]
        come += draw.random.sample(known, min(4, len(known))) + draw.random.sample(history, 2)
        waiting = [item for item in waiting if item not in come]
        fresh = [item for item in come if item not in known and item not in history]
        log.append(come)
        loaded = window.load(come, closed)
        assert 0 < loaded.duplicates <= len(come) - len(fresh)  # one from before the reach is not told from a late one
        known += fresh
        online |= {keys["household_id"]: values for rows in window.compute(closed, end) for keys, values in rows}
        window.forget(end)
        closed = end
        wanted = batch(rig.view, rig.log, log.sequence, end, tmp_path)
        assert {key: online[key] for key in wanted} == wanted
        assert len(wanted) > 20
    window.close()
    log.close()


@pytest.mark.parametrize("largest", [1e15, 9.9e20])
def test_large_values_have_the_same_digits_in_stream_and_batch_and_rows_of_nobody_have_no_say(
    tmp_path: Path, largest: float
) -> None:
    """The batch adds up many more events than are within reach; and no window holds a row without a key."""
    draw = Draw(3)
    history = draw.events(800, START, START + timedelta(seconds=160))
    history[0]["amount"] = largest
    history[1] |= {"amount": 1e24, "household_id": None}
    rig = Rig(tmp_path, {"type": "redis", "url": "redis://localhost"}, history)
    log, window = EventLog(rig.log), Window(rig.view, rig.log, rig.folder)
    end = START + timedelta(seconds=170)
    window.fill(end - window.reach)
    come = draw.events(30, START + timedelta(seconds=160), end)
    log.append(come)
    window.load(come, None)
    online = {keys["household_id"]: values for rows in window.compute(None, end) for keys, values in rows}
    wanted = batch(rig.view, rig.log, log.sequence, end, tmp_path)
    assert {key: online[key] for key in wanted} == wanted
    assert len(wanted) > 20
    window.close()
    log.close()


def test_only_keys_that_may_change_are_computed(tmp_path: Path) -> None:
    """A key without an event that enters or leaves a window is left alone, unless its values would expire."""
    events = [
        {"id": key, "at": (START + timedelta(seconds=key)).isoformat(), "amount": 1.0, "household_id": key, "shop": "a"}
        for key in range(1, 11)
    ]
    for ttl_seconds, computed in ((None, {10}), (60, set(range(1, 11)))):
        root = tmp_path / str(ttl_seconds)
        root.mkdir()
        rig = Rig(root, {"type": "redis", "url": "redis://localhost"}, events, ttl_seconds=ttl_seconds)
        window = Window(rig.view, rig.log, rig.folder)
        window.fill(START)
        [list(window.compute(None, START + timedelta(seconds=18)))]
        window.forget(START + timedelta(seconds=18))
        later = {**events[-1], "id": 99, "at": (START + timedelta(seconds=19)).isoformat()}
        log = EventLog(rig.log)
        log.append([later])
        window.load([later], START + timedelta(seconds=18))
        rows = [
            row for rows in window.compute(START + timedelta(seconds=18), START + timedelta(seconds=20)) for row in rows
        ]
        assert {keys["household_id"] for keys, _ in rows} == computed
        window.close()
        log.close()


def test_the_first_events_of_a_log_are_the_same_table_for_good(tmp_path: Path) -> None:
    draw = Draw(3)
    rig = Rig(tmp_path, {"type": "redis", "url": "r"}, draw.events(20, START, START + timedelta(seconds=20)))
    log = EventLog(rig.log)
    log.append(draw.events(30, START, START + timedelta(seconds=40)))
    end = START + timedelta(seconds=20)
    first = batch(rig.view, rig.log, 30, end, tmp_path)
    log.append(draw.events(30, START, START + timedelta(seconds=19)))
    with open(rig.log / "events-000001.jsonl", "a") as stream:
        stream.write(json.dumps({"mlctl_sequence": 61})[:-3])  # a line that is still being written
    assert batch(rig.view, rig.log, 30, end, tmp_path) == first
    assert batch(rig.view, rig.log, 60, end, tmp_path) != first
    log.close()


def test_the_first_step_of_another_definition_is_of_all_keys(tmp_path: Path) -> None:
    """Else a key without events in reach would keep what the stream of the old definition served."""
    from mlctl.runtime.stream.served import same_definition, write_definition

    events = [
        {"id": key, "at": (START + timedelta(days=key)).isoformat(), "amount": 1.0, "household_id": key, "shop": "a"}
        for key in range(1, 6)
    ]
    rig = Rig(tmp_path, {"type": "redis", "url": "r"}, events)
    rig.log.mkdir(parents=True)
    assert not same_definition(rig.log, rig.view)
    write_definition(rig.log, rig.view)
    assert same_definition(rig.log, rig.view)
    assert not same_definition(rig.log, rig.view.model_copy(update={"where": "amount > 0"}))
    end = START + timedelta(days=5, seconds=10)
    for everything, count in ((True, 5), (False, 1)):
        window = Window(rig.view, rig.log, rig.folder)
        window.fill(end - timedelta(days=1), everything=everything)
        first = [row for rows in window.compute(None, end) for row in rows]
        assert len(first) == count
        window.forget(end)
        assert [row for rows in window.compute(end, end + timedelta(seconds=2)) for row in rows] == []
        window.close()
    assert {values["count_40"] for keys, values in first} == {1}
