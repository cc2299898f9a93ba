"""Windows, dense and sparse, and the join over them, against the definition in plain Python, over random events."""

from __future__ import annotations

import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.integration.features import lab, reference
from tests.integration.features.reference import COLUMNS, EPOCH, Event, Wanted

pytestmark = pytest.mark.tools

SECOND, HOUR, DAY = timedelta(seconds=1), timedelta(hours=1), timedelta(days=1)
KEY_TYPES = {"house": "int64", "shop": "string"}
EXPRESSIONS = {"worth": "price * pieces", "pricey": "price > 3 -- a comment"}

some = ("pieces > 0", lambda event: None if event["pieces"] is None else event["pieces"] > 0)
odd = ("tag IN ('a', 'b') OR back", lambda event: event["tag"] in ("a", "b") or event["back"] is True)
pricey = ("pricey", lambda event: event["price"] is not None and event["price"] > 3)
both = ("worth > 1 AND NOT back", lambda event: (event["worth"] or 0) > 1 and event["back"] is False)


def features(*sizes: int) -> list[Wanted]:
    kinds: list[tuple[Any, ...]] = [
        ("count", None), ("count", None, None, some), ("count", "price", None, odd), ("count_distinct", "tag"),
        ("count_distinct", "tag", None, some), ("count_distinct", "pieces"), ("sum", "price"), ("sum", "price", None, both),
        ("sum", "amount"), ("sum", "back"), ("sum", "worth"), ("mean", "price"), ("mean", "small", None, pricey),
        ("min", "price"), ("min", "amount", None, odd), ("max", "pieces"), ("max", "small"), ("std", "price"),
        ("std", "pieces"), ("std", "worth", None, some), ("last", "price"), ("last", "pieces"), ("last", "small", None, odd),
        ("last", "amount"), ("last", "back"), ("ratio", None, None, some), ("ratio", "price", "price", odd),
        ("ratio", "worth", "amount", None), ("ratio", "pieces", None, pricey), ("ratio", None, "pieces", odd),
    ]  # fmt: skip
    return [
        Wanted(f"f{index}_{steps}", kind[0], kind[1], steps, *kind[2:])
        for index, kind in enumerate(kinds)
        for steps in sizes
    ]


def moments(grid: timedelta, reach: int) -> st.SearchStrategy[datetime]:
    """Times on both sides of 1970, many of them at a step's very start or in the microsecond before it."""
    places = st.sampled_from([timedelta(0), timedelta(0), -timedelta(microseconds=1), grid / 2, grid / 3])
    return st.builds(lambda step, place: EPOCH + step * grid + place, st.integers(-5, reach), places)


def events(grid: timedelta, reach: int) -> st.SearchStrategy[list[Event]]:
    price = st.sampled_from([None, 0.1, 3.3, -7.25, 1e-7, 12345678.25, 100.01, -0.0, 0.0])
    row = st.fixed_dictionaries(
        {
            "house": st.sampled_from([1, 1, 1, 2, -7, None]),
            "shop": st.sampled_from(["x", "x", "it's", "", None]),
            "at": st.one_of(moments(grid, reach), moments(grid, reach), moments(grid, reach), st.none()),
            "price": price,
            "pieces": st.sampled_from([None, 0, 1, 2, -3]),
            "tag": st.sampled_from([None, "a", "b", "c", "d"]),
            "amount": st.sampled_from([None, 0.5, -999.75, 12.25]),
            "back": st.sampled_from([None, True, False]),
            "small": st.sampled_from([None, 0.5, -2.25, 1024.0]),
        }
    )
    always = st.fixed_dictionaries(
        {
            **dict.fromkeys(COLUMNS, st.none()),
            "house": st.just(1),
            "shop": st.just("x"),
            "at": moments(grid, reach),
            "price": price,
        }
    )
    return st.builds(lambda one, others: [one, *others], always, st.lists(row, max_size=40))


def with_worth(rows: list[Event]) -> list[Event]:
    """The rows with the columns of the view's expressions."""
    return [
        {**row, "worth": None if None in (row["price"], row["pieces"]) else row["price"] * row["pieces"]}
        for row in rows
    ]


def same(wanted: Any, got: Any) -> bool:
    if wanted is None or got is None:
        return wanted is got
    return bool(got == pytest.approx(wanted, rel=1e-12, abs=1e-15))


def differing(wanted: dict[str, Any], got: dict[str, Any]) -> dict[str, Any]:
    return {name: (value, got[name]) for name, value in wanted.items() if not same(value, got[name])}


CASES = st.sampled_from([(DAY, 40, (1, 7, 30)), (HOUR, 60, (1, 5, 24)), (SECOND, 90, (1, 45))])


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_every_snapshot_is_what_the_definition_says(data: st.DataObject) -> None:
    grid, reach, sizes = data.draw(CASES)
    rows = data.draw(events(grid, reach))
    where = data.draw(st.sampled_from([None, ("price IS NOT NULL", lambda event: event["price"] is not None)]))
    wanted = features(*sizes)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        half = len(rows) // 2  # late rows come in a file of their own
        files = [
            lab.write(folder / f"{index}.parquet", COLUMNS, part)
            for index, part in enumerate((rows[:half], rows[half:]))
        ]
        asked = lab.params(
            files, COLUMNS, KEY_TYPES, [item.column_json() for item in wanted], int(grid.total_seconds()),
            expressions=EXPRESSIONS, where=where and where[0],
        )  # fmt: skip
        expected = reference.snapshots(with_worth(rows), wanted, grid, where and where[1])
        if not expected:
            return
        made = lab.compute(asked, folder / "dense.parquet")
        got = {(row["house"], row["shop"], row["event_timestamp"]): row for row in lab.read(folder / "dense.parquet")}
        assert got.keys() == expected.keys()
        assert (made.rows, made.keys) == (len(expected), len({place[:-1] for place in expected}))
        for place, values in expected.items():
            assert not differing(values, got[place]), place

        thin = lab.compute(asked.model_copy(update={"sparse": True}), folder / "sparse.parquet")
        kept = {(row["house"], row["shop"], row["event_timestamp"]): row for row in lab.read(folder / "sparse.parquet")}
        assert thin.rows == len(kept)
        assert (thin.keys, thin.since, thin.until) == (made.keys, made.since, made.until)
        assert all(got[place] == row for place, row in kept.items())
        # what a sparse view leaves out repeats the one before
        current: dict[str, Any] = {}
        for place in sorted(got):
            current = kept.get(place, current)
            assert {**got[place], "event_timestamp": None} == {**current, "event_timestamp": None}


@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_joins_of_dense_and_sparse_views_are_what_the_definition_says(data: st.DataObject) -> None:
    grid, reach, sizes = data.draw(CASES)
    rows = data.draw(events(grid, reach))
    ttl = data.draw(st.sampled_from([None, grid, 2 * grid, 7 * grid + SECOND, 1000 * grid]))
    wanted = [item for item in features(*sizes) if item.how in ("count", "mean", "last")]
    expected = reference.snapshots(with_worth(rows), wanted, grid)
    times = sorted({place[-1] for place in expected})
    tick = timedelta(microseconds=1)
    offsets = [timedelta(0), -tick, grid - tick, *(() if ttl is None else (ttl, ttl + tick, ttl - tick))]
    at_edges = st.builds(lambda at, off: at + off, st.sampled_from(times), st.sampled_from(offsets))
    asks = data.draw(
        st.lists(
            st.tuples(
                st.sampled_from([1, 1, 2, 9, None]), st.sampled_from(["x", "x", "it's", "", None]),
                st.one_of(at_edges, at_edges, moments(grid, reach + 20), st.none()),
            ), min_size=1, max_size=60,
        )
    )  # fmt: skip
    asks += [(*place[:-1], times[-1] + off) for place in expected for off in offsets if place[-1] == times[-1]]
    labels = [{"row": index, "house": one, "shop": two, "when": at} for index, (one, two, at) in enumerate(asks)]
    kinds = {"row": "integer", "house": "integer", "shop": "varchar", "when": "timestamp"}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        source = lab.write(folder / "events.parquet", COLUMNS, rows)
        table = lab.write(folder / "labels.parquet", kinds, labels)
        for sparse in (False, True):
            asked = lab.params(
                [source], COLUMNS, KEY_TYPES, [item.column_json() for item in wanted], int(grid.total_seconds()),
                expressions=EXPRESSIONS, sparse=sparse,
            )  # fmt: skip
            made = lab.compute(asked, folder / "view.parquet")
            good = None if ttl is None else int(ttl.total_seconds())
            views = [lab.view(asked, made, folder / "view.parquet", good)]
            joined = lab.join(table, views, folder / "joined.parquet", "when")
            assert [{key: row[key] for key in labels[0]} for row in joined] == labels
            for label, row in zip(asks, joined, strict=True):
                found = reference.joined(label[:2], label[2], expected, ttl)
                nothing = dict.fromkeys((item.name for item in wanted), None)
                assert not differing(found or nothing, row), (label, sparse)
