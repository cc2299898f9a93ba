"""What a model saw against the snapshots: right, stale or skewed, value by value, and the worst by name."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.jobs.features import Key, LogParityParams, ViewSource
from mlctl.types.jobs.parity import FeatureSkew, LogParity

pytestmark = pytest.mark.tools
START = datetime(2026, 1, 10)
HOUR = 3600
FEATURES = ["amount", "events", "not_of_a_view"]


def amount(user: int, hour: int) -> float:
    return round(user * 1.1 + hour * 0.37, 9)


class World:
    """A view with hourly snapshots of five users in two shops, and a prediction log."""

    def __init__(self, root: Path) -> None:
        import duckdb

        self.root = root
        rows = [
            (user, shop, START + timedelta(hours=hour), amount(user, hour), user + hour)
            for user in range(5) for shop in ("a", "b") for hour in range(24)
        ]  # fmt: skip
        connection = duckdb.connect()
        connection.execute(
            "CREATE TABLE s(user_id BIGINT, shop VARCHAR, event_timestamp TIMESTAMP, amount DOUBLE, events BIGINT)"
        )
        connection.executemany("INSERT INTO s VALUES (?, ?, ?, ?, ?)", rows)
        connection.execute(f"COPY s TO '{root}/activity.parquet'")
        connection.close()
        self.lines: list[str] = []

    def predict(self, at: datetime, features: dict[str, Any] | None, **changes: Any) -> None:
        """A line of the log for a request that came at a moment and took half a second."""
        row = {
            "ts": (at + timedelta(seconds=0.5)).replace(tzinfo=UTC).isoformat(), "request_id": f"r{len(self.lines)}", "version": "3",
            "role": "stable", "key": {"user_id": 1, "shop": "a"}, "features": features, "score": 0.5, "latency_seconds": 0.5, "code": 200,
        }  # fmt: skip
        self.lines.append(json.dumps({**row, **changes}))

    def compare(self, **changes: Any) -> LogParity:
        from mlctl.runtime.features.log_parity import compare
        from mlctl.runtime.report import Report

        (self.root / "log").mkdir(exist_ok=True)
        (self.root / "job").mkdir(exist_ok=True)
        (self.root / "log" / "2026-01-10.jsonl").write_text("\n".join(self.lines) + "\n" + '{"ts": "2026-01-1')
        source = ViewSource(
            view="activity",
            keys=[Key(name="user_id", type="int64"), Key(name="shop", type="string")],
            path=str(self.root / "activity.parquet"),
            features={"amount": "float64", "events": "int64"},
            ttl_seconds=3 * HOUR,
            grid_seconds=HOUR,
        )
        base = LogParityParams(
            predictions=str(self.root / "log"), sources=[source], features=FEATURES, version="3", since=None,
            until="2026-01-11T00:00:00+00:00", tolerance=1e-5,
        )  # fmt: skip
        return compare(base.model_copy(update=changes), Report(self.root / "job"))


def seen(hour: int, user: int = 1) -> dict[str, Any]:
    return {"amount": amount(user, hour), "events": float(user + hour)}


def at(hour: int, minutes: float = 5) -> datetime:
    return START + timedelta(hours=hour, minutes=minutes)


def of(found: LogParity, feature: str) -> FeatureSkew:
    return next(item for item in found.features if item.feature == feature)


def test_what_training_would_have_seen_is_right(tmp_path: Path) -> None:
    world = World(tmp_path)
    for hour in range(5, 20):
        world.predict(at(hour), seen(hour))
        world.predict(at(hour, 0), seen(hour), key={"user_id": 1, "shop": "b"})  # at the snapshot's own time
    world.predict(at(9), {"amount": amount(1, 9) * (1 + 9e-6), "events": 10.0})
    found = world.compare()
    assert found.passed
    assert (found.compared, of(found, "amount").stale, of(found, "amount").mismatched, found.worst) == (31, 0, 0, [])
    assert {item.feature for item in found.features} == {"amount", "events"}


def test_a_request_is_compared_as_of_when_it_came_and_not_when_it_was_answered(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.predict(at(9, 0) - timedelta(seconds=0.25), seen(8))  # answered a moment after the snapshot of nine
    found = world.compare()
    assert found.passed
    assert of(found, "amount").stale == 0


def test_an_older_snapshot_that_was_still_good_is_stale(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.predict(at(12), seen(11))
    world.predict(at(12), seen(10))
    found = world.compare()
    assert found.passed
    assert (of(found, "amount").stale, of(found, "events").stale) == (2, 2)
    assert [(lag.stale_rows, lag.absent_rows) for lag in found.lags] == [(2, 0)]
    assert found.lags[0].max_lag_seconds == HOUR + 300  # the value of eleven had been known for so long
    assert found.lags[0].max_age_seconds == 2 * HOUR


def test_a_value_of_no_good_snapshot_is_skew_and_named(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.predict(at(12), {**seen(12), "amount": 77.0}, request_id="wrong")
    world.predict(at(12), {**seen(11), "amount": 78.0}, request_id="wrong-and-stale")
    world.predict(at(12), seen(5), request_id="expired")
    world.predict(at(12), {**seen(12), "events": None}, request_id="missing")
    world.predict(at(12), seen(12, user=2), request_id="of-another-key")
    found = world.compare()
    assert not found.passed
    assert (of(found, "amount").mismatched, of(found, "amount").null_mismatches, of(found, "amount").stale) == (4, 0, 0)
    assert (of(found, "events").mismatched, of(found, "events").null_mismatches, of(found, "events").stale) == (3, 1, 1)
    assert found.worst[0].request_id == "missing"
    assert found.worst[1].request_id == "wrong-and-stale"
    assert (found.worst[1].served, found.worst[1].expected, found.worst[1].key) == (
        78.0, amount(1, 12), {"user_id": 1, "shop": "a"},
    )  # fmt: skip


def test_nothing_served_is_stale_for_one_step_after_a_value_was_due(tmp_path: Path) -> None:
    nothing = {"amount": None, "events": None}
    world = World(tmp_path)
    world.predict(at(0, 30), nothing)  # the first snapshot of all is half an hour old
    world.predict(at(2), nothing)  # two hours after it
    world.predict(START - timedelta(minutes=1), nothing)  # none is due yet
    found = world.compare()
    assert (of(found, "amount").stale, of(found, "amount").null_mismatches) == (1, 1)
    assert found.lags[0].absent_rows == 1
    assert world.compare(max_lag_seconds=3.0 * HOUR).passed


def test_what_cannot_be_compared_is_counted(tmp_path: Path) -> None:
    world = World(tmp_path)
    world.predict(at(12), seen(12))
    world.predict(at(12), seen(1), version="2")
    world.predict(at(12), seen(1), key=None)
    world.predict(at(12), seen(1), key={"user_id": 1})
    world.predict(at(12), None)
    world.predict(at(12), None, code=503)
    found = world.compare()
    assert found.passed
    assert (found.predictions, found.compared, found.without_keys, found.other_versions, found.unreadable) == (
        4,
        1,
        3,
        1,
        1,
    )
    assert world.compare(since="2026-01-10T13:00:00+00:00").compared == 0
    assert world.compare(predictions=str(tmp_path / "none")).predictions == 0


def test_a_sample_is_the_same_for_a_seed(tmp_path: Path) -> None:
    world = World(tmp_path)
    for index in range(200):
        world.predict(at(12), {**seen(12), "amount": float(index)})
    rows = [
        {row.request_id for row in world.compare(sample=8, seed=seed).worst} for seed in (0, 0, 1)
    ]  # fmt: skip
    assert rows[0] == rows[1] != rows[2]
    assert len(rows[0]) == 8


def test_on_demand_features_are_computed_again_by_their_function(tmp_path: Path) -> None:
    from mlctl.files.digests import FileDigests
    from mlctl.types.jobs.features import Transformation

    code = tmp_path / "code"
    code.mkdir()
    (code / "shares.py").write_text("def share(basket, amount, events):\n    return {'share': basket / amount}\n")
    made = Transformation(
        view="shares", root=str(code), file="shares.py", function="share", closure=["shares.py"],
        code_digest=FileDigests().tree([code / "shares.py"], code), request={"basket": "float64"},
        inputs=["amount", "events"], features={"share": "float64"},
    )  # fmt: skip
    world = World(tmp_path)
    for hour, basket in ((9, 5.0), (10, None)):
        share = None if basket is None else basket / amount(1, hour)
        world.predict(at(hour), {"amount": amount(1, hour), "share": share}, request={"basket": basket})
    stale = {"amount": amount(1, 10), "share": 5.0 / amount(1, 10)}
    world.predict(at(11), stale, request={"basket": 5.0})  # right for what it was given
    changes: dict[str, Any] = {"features": ["amount", "share"], "transformations": [made]}
    found = world.compare(**changes)
    assert found.passed
    assert (of(found, "share").compared, of(found, "share").mismatched, of(found, "share").view) == (3, 0, "shares")
    world.predict(at(9), {"amount": amount(1, 9), "share": 0.1}, request={"basket": 5.0}, request_id="wrong")
    world.predict(at(9), {"amount": amount(1, 9), "share": None}, request={"basket": 5.0}, request_id="none")
    found = world.compare(**changes)
    assert (of(found, "share").mismatched, of(found, "share").null_mismatches) == (2, 1)
    assert [row.request_id for row in found.worst] == ["none", "wrong"]
