"""Which online values are good at a moment, on the real SQLite store."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.features.stores.backend import Table
from mlctl.runtime.features.stores.sqlite import SqliteBackend
from mlctl.runtime.features.stores.writer import OnlineWriter, Written
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import DuckdbOffline, Key, OnlineView, SqliteOnline, Store, ViewSource

T = datetime(2026, 3, 1, 12, tzinfo=UTC)
SECOND, MICRO = timedelta(seconds=1), timedelta(microseconds=1)
USER, ITEM = Key(name="user", type="int64"), Key(name="item", type="string")
SOURCE = ViewSource(
    view="spend", keys=[USER], path="none.parquet", features={"amount": "float64", "visits": "int64"}, ttl_seconds=60
)
PAIRS = ViewSource(view="pairs", keys=[USER, ITEM], path="none.parquet", features={"seen": "int64"}, ttl_seconds=None)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    online = SqliteOnline(path=str(tmp_path / "online.db"))
    backend = SqliteBackend("shop", online)
    for source in (SOURCE, PAIRS):
        backend.make(Table(source.view, tuple(source.keys), tuple(source.features)))
    backend.close()
    return Store(project="shop", registry="none", online=online, offline=DuckdbOffline())


def view(source: ViewSource) -> OnlineView:
    return OnlineView(
        view=source.view, keys=source.keys, features=list(source.features), ttl_seconds=source.ttl_seconds
    )


def at(moment: datetime) -> Callable[[], datetime]:
    return lambda: moment


def test_a_value_is_good_from_its_time_to_exactly_its_ttl(store: Store) -> None:
    OnlineWriter(store, SOURCE, at(T)).write([({"user": 1}, T, {"amount": 2.5, "visits": 3})])
    good, gone = {"amount": 2.5, "visits": 3}, {"amount": None, "visits": None}
    for moment, expected in (
        (T - MICRO, gone),
        (T, good),
        (T + 60 * SECOND, good),
        (T + 60 * SECOND + MICRO, gone),
    ):
        assert OnlineFeatures(store, [view(SOURCE)], at(moment)).get([{"user": 1}, {"user": 2}]) == [expected, gone]


def test_views_of_different_entities_are_read_together_each_by_its_own_keys(store: Store) -> None:
    OnlineWriter(store, SOURCE, at(T)).write([({"user": 1}, T, {"amount": 2.5, "visits": None})])
    OnlineWriter(store, PAIRS, at(T)).write([({"user": 1, "item": "a"}, T - SECOND, {"seen": 4})])
    lookup = OnlineFeatures(store, [view(SOURCE), view(PAIRS)], at(T))
    assert lookup.keys == [USER, ITEM]
    first, second = lookup.look([{"user": 1, "item": "a"}, {"user": 1, "item": "b"}])
    assert first.values == {"amount": 2.5, "visits": None, "seen": 4}
    assert first.event_times == {"spend": T, "pairs": T - SECOND}
    assert second.values == {"amount": 2.5, "visits": None, "seen": None}
    assert second.event_times["pairs"] is None
    with pytest.raises(MlctlError, match="`item` is missing"):
        lookup.get([{"user": 1}])


def test_late_and_future_rows_are_counted_and_not_written(store: Store) -> None:
    writer = OnlineWriter(store, SOURCE, at(T))
    rows = [({"user": 1}, T - back * SECOND, {"amount": float(back), "visits": 0}) for back in (3, 1, 2)]
    assert writer.write(rows) == Written(written=1, older=2, future=0)
    assert writer.write(rows) == Written(written=0, older=3, future=0)
    ahead = [({"user": 1}, T + SECOND, {"amount": 9.0, "visits": 9})]
    assert writer.write(ahead) == Written(written=0, older=0, future=1)
    assert OnlineFeatures(store, [view(SOURCE)], at(T)).get([{"user": 1}]) == [{"amount": 1.0, "visits": 0}]


@pytest.mark.parametrize(
    ("features", "code"),
    [
        ({"amount": 1.0}, "features.missing-feature"),
        ({"amount": "1", "visits": 1}, "features.bad-value"),
        ({"amount": 1.0, "visits": float("nan")}, "features.bad-value"),
    ],
)
def test_a_row_that_is_not_whole_is_refused_before_any_is_written(
    store: Store, features: dict[str, float | None], code: str
) -> None:
    with pytest.raises(MlctlError) as caught:
        OnlineWriter(store, SOURCE, at(T)).write(
            [({"user": 1}, T, {"amount": 1.0, "visits": 1}), ({"user": 2}, T, features)]
        )
    assert caught.value.diagnostics[0].code == code
    assert OnlineFeatures(store, [view(SOURCE)], at(T)).get([{"user": 1}])[0]["amount"] is None


def test_a_view_that_is_not_online_shows_when_it_is_opened(store: Store) -> None:
    missing = view(SOURCE).model_copy(update={"view": "nothing"})
    with pytest.raises(MlctlError) as caught:
        OnlineFeatures(store, [missing])
    assert caught.value.diagnostics[0].code == "features.store-gone"


def test_a_store_that_was_replaced_is_read_anew(store: Store) -> None:
    """A file of the same name that another apply made is another store, and the old one is not read on."""
    OnlineWriter(store, SOURCE, at(T)).write([({"user": 1}, T, {"amount": 1.0, "visits": 1})])
    lookup = OnlineFeatures(store, [view(SOURCE)], at(T))
    assert isinstance(store.online, SqliteOnline)
    path = Path(store.online.path)
    for file in path.parent.iterdir():
        file.unlink()
    with pytest.raises(MlctlError) as caught:
        lookup.get([{"user": 1}])
    assert caught.value.diagnostics[0].code == "features.store-gone"
    backend = SqliteBackend("shop", store.online)
    backend.make(Table("spend", (USER,), ("amount", "visits")))
    assert lookup.get([{"user": 1}])[0]["amount"] is None
