"""What holds of every online store: whole rows, the later event time, nobody else's rows."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.features.stores.backend import Backend, Stamp, Table
from mlctl.types.diagnostic import MlctlError
from tests.integration.features.stores import KEYS, TABLE, backend_of, key, online_store, row

pytestmark = pytest.mark.tools

SERVED = Stamp("me", "feature_views.shopping#", [item.model_dump() for item in KEYS], list(TABLE.features), served=True)


@pytest.fixture(scope="module", params=["sqlite", "redis", "dynamodb"])
def online(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    with online_store(request.param, tmp_path_factory.mktemp("online")) as block:
        yield block


@pytest.fixture
def backend(online: dict[str, Any]) -> Iterator[Backend]:
    made = backend_of(online)
    made.make(TABLE)
    made.put_stamp(TABLE.view, SERVED)
    yield made
    made.drop(TABLE)
    made.close()


def held(backend: Backend, *products: int) -> list[tuple[int, tuple[bytes, ...]] | None]:
    [found] = backend.read([TABLE], [[key(product) for product in products]])
    return [None if item is None else (item.moment, item.values) for item in found]


def test_a_row_is_read_as_it_was_written_and_one_that_is_not_there_is_none(backend: Backend) -> None:
    rows = [row(1, 1_500_000, 0.0, -5), row(2, 10**15 + 1, None, None), row(-3, 5, 1e300, 2**63 - 1)]
    assert backend.write(TABLE, rows) == 3
    assert held(backend, 2, 7, 1, -3) == [
        (rows[1].moment, rows[1].values),
        None,
        (rows[0].moment, rows[0].values),
        (rows[2].moment, rows[2].values),
    ]


def test_the_later_event_time_wins_whatever_the_order_even_within_a_second(backend: Backend) -> None:
    assert backend.write(TABLE, [row(1, 1_000_002, 2.0)]) == 1
    assert backend.write(TABLE, [row(1, 1_000_001, 1.0)]) == 0
    assert held(backend, 1) == [(1_000_002, row(1, 0, 2.0).values)]
    assert backend.write(TABLE, [row(1, 1_000_003, 3.0)]) == 1
    assert held(backend, 1) == [(1_000_003, row(1, 0, 3.0).values)]


def test_the_same_again_is_not_written_and_a_correction_of_the_same_time_is(backend: Backend) -> None:
    backend.write(TABLE, [row(1, 7_000_000, 1.0)])
    assert backend.write(TABLE, [row(1, 7_000_000, 1.0)]) == 0
    assert backend.write(TABLE, [row(1, 7_000_000, 1.5)]) == 1
    assert held(backend, 1) == [(7_000_000, row(1, 0, 1.5).values)]


def test_a_null_is_a_value_and_replaces_one(backend: Backend) -> None:
    backend.write(TABLE, [row(1, 7_000_000, 1.0)])
    backend.write(TABLE, [row(1, 8_000_000, None)])
    assert held(backend, 1) == [(8_000_000, row(1, 0, None).values)]


def test_a_new_feature_makes_every_row_worth_writing_again(backend: Backend) -> None:
    backend.write(TABLE, [row(1, 7_000_000, 1.0)])
    wider = replace(TABLE, features=(*TABLE.features, "extra"))
    same = row(1, 7_000_000, 1.0)
    assert backend.write(wider, [replace(same, values=(*same.values, b""))]) == 1
    backend.drop(wider)


def test_writers_and_readers_at_once_see_whole_rows_that_only_get_newer(
    online: dict[str, Any], backend: Backend
) -> None:
    """Each writer's value and count say the same number; a row in which they differ was half written."""
    rounds, broken = 40, []
    done = threading.Event()

    def write(offset: int) -> None:
        writer = backend_of(online)
        for step in range(rounds):
            moment = (step * 2 + offset) * 1_000_000
            writer.write(TABLE, [row(product, moment, float(moment), moment) for product in range(20)])
        writer.close()

    def read() -> None:
        reader, newest = backend_of(online), [0] * 20
        while not done.is_set():
            [found] = reader.read([TABLE], [[key(product) for product in range(20)]])
            for product, item in enumerate(found):
                if item is None:
                    continue
                if (
                    item.values != row(product, 0, float(item.moment), item.moment).values
                    or item.moment < newest[product]
                ):
                    broken.append((product, item))
                newest[product] = item.moment
        reader.close()

    writers = [threading.Thread(target=write, args=(offset,)) for offset in (0, 1)]
    readers = [threading.Thread(target=read) for _ in range(2)]
    for thread in [*readers, *writers]:
        thread.start()
    for thread in writers:
        thread.join()
    done.set()
    for thread in readers:
        thread.join()
    assert broken == []
    last = (2 * rounds - 1) * 1_000_000
    assert {item and item[0] for item in held(backend, *range(20))} == {last}


def test_all_keys_can_be_listed_and_deleted_if_they_did_not_change(backend: Backend) -> None:
    backend.write(TABLE, [row(product, 1_000_000 + product, 1.0) for product in range(5)])
    listed = dict(backend.held_keys(TABLE))
    names = backend.names([key(product) for product in range(5)])
    assert listed == {name: 1_000_000 + product for product, name in enumerate(names)}
    backend.write(TABLE, [row(1, 9_000_000, 2.0)])
    assert backend.delete(TABLE, [(names[0], 1_000_000), (names[1], 1_000_001)]) == 1
    assert [item is None for item in held(backend, 0, 1, 2)] == [True, False, False]


def test_projects_and_views_of_the_same_entity_do_not_meet(online: dict[str, Any], backend: Backend) -> None:
    """`op` is the end of `shop`, which a pattern on names would take for the same."""
    if online["type"] == "sqlite":
        pytest.skip("a file is one environment's own")
    other_view = Table("visits", KEYS, ("amount", "visits"))
    backend.make(other_view)
    backend.put_stamp(other_view.view, SERVED)
    other_project = backend_of(online, "op")
    other_project.make(TABLE)
    other_project.put_stamp(TABLE.view, SERVED)
    backend.write(TABLE, [row(1, 1_000_000, 1.0)])
    backend.write(other_view, [row(1, 2_000_000, 2.0)])
    other_project.write(TABLE, [row(1, 3_000_000, 3.0)])
    other_project.drop(TABLE)
    assert held(backend, 1) == [(1_000_000, row(1, 0, 1.0).values)]
    backend.drop(TABLE)
    [[left]] = backend.read([other_view], [[key(1)]])
    assert left is not None
    assert left.values == row(1, 0, 2.0).values
    backend.drop(other_view)
    other_project.close()


def test_a_view_that_is_not_there_is_an_error_and_not_nulls(backend: Backend) -> None:
    with pytest.raises(MlctlError) as caught:
        backend.read([replace(TABLE, view="nothing")], [[key(1)]])
    assert caught.value.diagnostics[0].code == "features.store-gone"


def test_dropping_leaves_nothing_and_can_be_repeated(online: dict[str, Any], backend: Backend) -> None:
    backend.write(TABLE, [row(1, 1_000_000, 1.0)])
    backend.drop(TABLE)
    backend.drop(TABLE)
    assert backend.stamp(TABLE.view) is None
    if online["type"] == "redis":
        import redis

        with redis.Redis.from_url(online["url"]) as client:
            assert client.keys("*") == []


def test_a_server_that_is_away_is_named_and_its_password_is_not(tmp_path: Path) -> None:
    backend = backend_of({"type": "redis", "url": "redis://:very-secret-password@127.0.0.1:1/3"})
    with pytest.raises(MlctlError) as caught:
        backend.read([TABLE], [[key(1)]])
    problem = caught.value.diagnostics[0]
    assert (problem.code, "127.0.0.1:1/3" in problem.summary) == ("features.store-down", True)
    assert "very-secret-password" not in str(caught.value)
