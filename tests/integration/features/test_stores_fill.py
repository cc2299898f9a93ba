"""A fill writes what differs, removes what is no more, leaves what is newer, and is made whole after any end."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.features.stores import redis as redis_store
from mlctl.runtime.features.stores.fill import Filled, fill
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.runtime.features.stores.writer import OnlineWriter
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import FeatureColumn, Key, Marks, MaterializeParams, OnlineView, ViewSource
from mlctl.types.jobs.profile import Source
from tests.integration.features.stores import online_store, store_of
from tests.integration.servers import redis

pytestmark = pytest.mark.tools

T = 1_700_000_000_000_000
HOUR = 3_600_000_000
USER = Key(name="user", type="int64")


def moment(micros: int) -> datetime:
    return datetime.fromtimestamp(micros / 1_000_000, UTC)


def params(online: dict[str, Any], lineage: str = "me", features: tuple[str, ...] = ("amount",)) -> MaterializeParams:
    return MaterializeParams(
        view="spend",
        entity="user",
        keys=[USER],
        source=Source(files=[], format="parquet", columns={}),
        timestamp="at",
        source_digest="",
        features=[
            FeatureColumn(name=name, aggregate=None, column=name, window_steps=0, dtype="float64") for name in features
        ],
        grid_seconds=3600,
        ttl_seconds=None,
        online=True,
        snapshot="none.parquet",
        store=store_of(online),
        marks=Marks(lineage=lineage, object="feature_views.spend#"),
    )


def filled(
    online: dict[str, Any], folder: Path, records: Any, until: int, asked: MaterializeParams | None = None
) -> Filled:
    wanted = asked or params(online)
    backend = open_backend(wanted.store)
    try:
        return fill(backend, wanted, records, moment(until), "content", Report(folder))
    finally:
        backend.close()


def served(online: dict[str, Any], *users: int) -> list[float | int | None]:
    view = OnlineView(view="spend", keys=[USER], features=["amount"], ttl_seconds=None)
    lookup = OnlineFeatures(store_of(online), [view])
    return [row["amount"] for row in lookup.get([{"user": user} for user in users])]


@pytest.fixture(params=["sqlite", "redis", "dynamodb"])
def online(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[dict[str, Any]]:
    with online_store(request.param, tmp_path) as block:
        yield block


def test_only_what_is_newer_is_written_and_only_what_is_no_more_is_removed(
    online: dict[str, Any], tmp_path: Path
) -> None:
    first = filled(online, tmp_path, [(user, T, float(user)) for user in range(20)], T)
    assert (first.keys, first.written, first.removed) == (20, 20, 0)
    again = filled(online, tmp_path, [(user, T, float(user)) for user in range(20)], T)
    assert (again.keys, again.written, again.removed, again.fill) == (20, 0, 0, first.fill)
    source = ViewSource(view="spend", keys=[USER], path="", features={"amount": "float64"}, ttl_seconds=None)
    pushed = OnlineWriter(store_of(online), source).write(
        [({"user": user}, moment(T + 2 * HOUR), {"amount": 100.0 + user}) for user in (3, 19, 50)]
    )
    assert pushed.written == 3
    # of the next hour: 0 to 4 as before, 5 corrected, the rest newer, 15 and later are no more
    records = [
        (user, T, float(user)) if user < 5 else (user, T + HOUR, 7.0 if user == 5 else float(user))
        for user in range(15)
    ]
    later = filled(online, tmp_path, records, T + HOUR)
    assert (later.keys, later.written, later.removed) == (17, 10, 4)
    assert served(online, 3, 4, 5, 14, 15, 19, 50) == [103.0, 4.0, 7.0, 14.0, None, 119.0, 150.0]
    late = filled(online, tmp_path, [(user, T - HOUR, -1.0) for user in range(15)], T - HOUR)
    assert (late.written, late.removed) == (0, 0)
    assert served(online, 3, 4, 5) == [103.0, 4.0, 7.0]


def test_a_feature_that_is_no_more_is_gone_from_every_row(online: dict[str, Any], tmp_path: Path) -> None:
    wide = params(online, features=("amount", "other"))
    filled(online, tmp_path, [(user, T, 1.0, 2.0) for user in range(5)], T, wide)
    narrow = filled(online, tmp_path, [(user, T + HOUR, 3.0) for user in range(4)], T + HOUR)
    assert narrow.removed == 1
    if online["type"] == "redis":
        import redis

        with redis.Redis.from_url(online["url"]) as client:
            hashes = [key for key in client.keys("*") if not key.startswith(b"mlctl:")]
            assert {client.hlen(key) for key in hashes} == {2}  # the time and `amount`
    assert served(online, 0, 4) == [3.0, None]


def test_a_view_of_another_project_in_the_same_place_is_not_touched(online: dict[str, Any], tmp_path: Path) -> None:
    if online["type"] == "sqlite":
        pytest.skip("a file is one environment's own")
    filled(online, tmp_path, [(1, T, 1.0)], T)
    with pytest.raises(MlctlError) as caught:
        filled(online, tmp_path, [(1, T + HOUR, 2.0)], T + HOUR, params(online, lineage="another"))
    assert caught.value.diagnostics[0].code == "provider.not-ours"
    assert served(online, 1) == [1.0]


def test_a_first_fill_that_was_cut_off_is_not_served_and_the_next_one_does_the_rest(
    online: dict[str, Any], tmp_path: Path
) -> None:
    if online["type"] == "sqlite":
        pytest.skip("its rows are counted by the plan")

    def cut_off() -> Iterator[tuple[int, int, float]]:
        yield from ((user, T, float(user)) for user in range(1500))
        raise InterruptedError

    with pytest.raises(InterruptedError):
        filled(online, tmp_path, cut_off(), T)
    with pytest.raises(MlctlError) as caught:
        served(online, 1)
    assert caught.value.diagnostics[0].code == "features.store-gone"
    rest = filled(online, tmp_path, [(user, T, float(user)) for user in range(1600)], T)
    assert (rest.keys, rest.written) == (1600, 600)
    assert served(online, 0, 1599) == [0.0, 1599.0]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_redis_that_stops_in_the_middle_is_an_error_that_names_it_and_a_rerun_heals(
    number: signal.Signals, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redis_store, "_WRITING_PATIENCE_SECONDS", 1.0)
    with redis() as server:
        online = {"type": "redis", "url": server.url}

        def records(stops: bool) -> Iterator[tuple[int, int, float]]:
            for user in range(5000):
                if stops and user == 2500:
                    server.stop(number)
                yield user, T, float(user)

        with pytest.raises(MlctlError) as caught:
            filled(online, tmp_path, records(stops=True), T)
        problem = caught.value.diagnostics[0]
        assert (problem.code, server.address in problem.summary) == ("features.store-down", True)
        server.start()
        with pytest.raises(MlctlError) as gone:  # it kept nothing: that is said, and not served as nulls
            served(online, 1)
        assert gone.value.diagnostics[0].code == "features.store-gone"
        assert filled(online, tmp_path, records(stops=False), T).written == 5000
        assert served(online, 0, 4999) == [0.0, 4999.0]


def test_redis_that_is_back_in_time_and_empty_is_not_taken_for_filled(tmp_path: Path) -> None:
    with redis() as server:
        online = {"type": "redis", "url": server.url}

        def records(restarts: bool) -> Iterator[tuple[int, int, float]]:
            for user in range(5000):
                if restarts and user == 2500:
                    server.stop(signal.SIGKILL)
                    threading.Timer(0.5, server.start).start()
                yield user, T, float(user)

        with pytest.raises(MlctlError, match="does not answer") as caught:
            filled(online, tmp_path, records(restarts=True), T)
        assert "emptied" in caught.value.diagnostics[0].why
        healed = filled(online, tmp_path, records(restarts=False), T)
        assert (healed.keys, healed.written) == (5000, 2000)  # what was written before it stopped
        assert served(online, 0, 4999) == [0.0, 4999.0]


def test_a_reader_says_that_redis_is_away_and_reads_on_when_it_is_back(tmp_path: Path) -> None:
    with redis() as server:
        online = {"type": "redis", "url": server.url}
        filled(online, tmp_path, [(1, T, 1.0)], T)
        view = OnlineView(view="spend", keys=[USER], features=["amount"], ttl_seconds=None)
        lookup = OnlineFeatures(store_of(online), [view])
        assert lookup.get([{"user": 1}]) == [{"amount": 1.0}]
        server.stop(signal.SIGKILL)
        with pytest.raises(MlctlError) as caught:
            lookup.get([{"user": 1}])
        assert caught.value.diagnostics[0].code == "features.store-down"
        server.start()
        filled(online, tmp_path, [(1, T, 1.0)], T)
        assert lookup.get([{"user": 1}]) == [{"amount": 1.0}]
