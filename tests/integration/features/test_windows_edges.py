"""Windows at their edges: precomputed tables, exactness, replaced files, fine grids, and definitions that do not fit."""

from __future__ import annotations

import random
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.features import windows
from mlctl.types.diagnostic import MlctlError
from tests.integration.features import lab
from tests.integration.features.reference import COLUMNS, Event, Wanted
from tests.integration.features.test_windows_reference import EXPRESSIONS, KEY_TYPES, features

pytestmark = pytest.mark.tools

START = datetime(2026, 3, 1)
SIMPLE = {"k": "bigint", "at": "timestamp", "x": "double"}
BY_KEY = {"k": "int64"}


def feature(name: str, aggregate: str | None, column: str | None, steps: int = 1, **more: Any) -> dict[str, Any]:
    return {"name": name, "aggregate": aggregate, "column": column, "window_steps": steps, "dtype": "float64", **more}


def simple(*values: float | None, step: timedelta = timedelta(days=1)) -> list[Event]:
    return [{"k": 1, "at": START + index * step, "x": value} for index, value in enumerate(values)]


def test_rows_of_a_precomputed_table_are_snapshots_at_their_own_times(tmp_path: Path) -> None:
    columns = {"house": "bigint", "shop": "varchar", "at": "timestamp", "a": "double", "b": "integer"}
    kept: list[Event] = [
        {"house": 1, "shop": "x", "at": START, "a": 2.0, "b": 9},
        {"house": 1, "shop": "x", "at": START + timedelta(microseconds=1), "a": None, "b": None},
        {"house": 1, "shop": "y", "at": START, "a": -0.5, "b": None},
        {"house": 2, "shop": "x", "at": datetime(2999, 1, 1), "a": 1.0, "b": 1},
    ]
    dropped: list[Event] = [
        {"house": 1, "shop": "x", "at": START, "a": 2.0, "b": 8},  # ties: the larger values stand
        {"house": 1, "shop": "x", "at": START, "a": None, "b": 10},
        {"house": 1, "shop": "x", "at": START, "a": 2.0, "b": 9},
        {"house": 1, "shop": None, "at": START, "a": 7.0, "b": 7},
        {"house": 1, "shop": "x", "at": None, "a": 7.0, "b": 7},
        {"house": 3, "shop": "x", "at": START, "a": 7.0, "b": -1},  # not taken by the filter
    ]
    wanted = [
        feature("fa", None, "a", 0),
        feature("fb", None, "b", 0, dtype="int64"),
        feature("fc", None, "c", 0, dtype="float32"),
    ]
    digests = set()
    for seed in range(3):
        rows = random.Random(seed).sample(kept + dropped, len(kept + dropped))
        late = [
            lab.write(tmp_path / "one.parquet", columns, rows[:4]),
            lab.write(tmp_path / "two.parquet", columns, rows[4:]),
        ]
        asked = lab.params(late, columns, KEY_TYPES, wanted, 0, where="b IS NULL OR b > 0", expressions={"c": "a + 1"})
        made = lab.compute(asked, tmp_path / "out.parquet", threads=1 + seed % 2)
        digests.add(made.digest)
    got = lab.read(tmp_path / "out.parquet")
    names = ("house", "shop", "event_timestamp", "fa", "fb", "fc")
    assert [tuple(row[name] for name in names) for row in got] == [
        (row["house"], row["shop"], row["at"], row["a"], row["b"], None if row["a"] is None else row["a"] + 1)
        for row in kept
    ]
    assert (made.rows, made.keys, made.until.year) == (4, 3, 2999)
    assert len(digests) == 1
    assert windows.last_known(made.until, 0, made.since) == made.since


def test_what_is_not_finite_in_a_precomputed_table_is_missing(tmp_path: Path) -> None:
    rows = simple(float("nan"), float("inf"), float("-inf"), 1.5)
    rows.append({**rows[3], "x": float("nan")})  # of a tie the number stands
    source = lab.write(tmp_path / "in.parquet", SIMPLE, rows)
    wanted = [feature("f", None, "x", 0), feature("g", None, "x", 0, dtype="float32")]
    lab.compute(lab.params([source], SIMPLE, BY_KEY, wanted, 0), tmp_path / "out.parquet")
    assert [(row["f"], row["g"]) for row in lab.read(tmp_path / "out.parquet")] == [(None, None)] * 3 + [(1.5, 1.5)]


@pytest.mark.parametrize(("expression", "code"), [("x / 2", "features.bad-dtype"), ("'7'", "features.not-numeric")])
def test_an_expression_over_a_precomputed_table_is_never_rounded_or_read_as_a_number_silently(
    tmp_path: Path, expression: str, code: str
) -> None:
    source = lab.write(tmp_path / "in.parquet", SIMPLE, simple(3.0))
    wanted = [feature("f", None, "made", 0, dtype="int64")]
    asked = lab.params([source], SIMPLE, BY_KEY, wanted, 0, expressions={"made": expression})
    with pytest.raises(MlctlError) as caught:
        lab.compute(asked, tmp_path / "out.parquet")
    assert [item.code for item in caught.value.diagnostics] == [code]


@pytest.mark.parametrize("sparse", [False, True])
def test_a_rerun_gives_the_same_bits_whatever_the_order_files_and_threads(tmp_path: Path, *, sparse: bool) -> None:
    draw = random.Random(4)
    rows: list[Event] = [
        {
            "house": draw.choice([1, 2]), "shop": draw.choice(["x", "y"]), "price": draw.uniform(-1e6, 1e6),
            "at": START + timedelta(hours=draw.randrange(40)), "pieces": draw.choice([0, 1, 2]), "tag": draw.choice("abc"),
            "amount": 0.25, "back": draw.choice([True, False]), "small": draw.choice([0.0, -0.0, 1.5]),
        }
        for _ in range(3000)
    ]  # fmt: skip
    wanted = [item.column_json() for item in [*features(1, 7), Wanted("zero", "max", "small", 1)]]
    digests = set()
    for threads in (1, 2, 3):
        mixed = draw.sample(rows, len(rows))
        cut = draw.randrange(len(rows))
        files = [
            lab.write(tmp_path / f"{index}.parquet", COLUMNS, part)
            for index, part in enumerate((mixed[:cut], mixed[cut:]))
        ]
        asked = lab.params(files, COLUMNS, KEY_TYPES, wanted, 3600, expressions=EXPRESSIONS, sparse=sparse)
        digests.add(lab.compute(asked, tmp_path / "out.parquet", threads).digest)
    assert len(digests) == 1


@pytest.mark.parametrize(
    ("values", "spread"),
    [
        ((1e15 + 1, 1e15 + 2, 1e15 + 3), 1.0),
        ((0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1), 0.0),
        ((1e-30, 3e-30), 2e-30 / 2**0.5),
        ((12345678.25, 1e-7, 2e-7), None),
        ((-1e8, 1e8), 2e8 / 2**0.5),
        ((1e140, -1e140, 1e140), None),
        ((1e140, -1e3, 5e-324), None),
    ],
)
def test_spreads_are_exact_beside_large_and_tiny_values(
    tmp_path: Path, values: tuple[float, ...], spread: float | None
) -> None:
    source = lab.write(tmp_path / "e.parquet", SIMPLE, simple(*values))
    asked = lab.params([source], SIMPLE, BY_KEY, [feature("s", "std", "x", len(values))], 86_400)
    lab.compute(asked, tmp_path / "out.parquet")
    got = lab.read(tmp_path / "out.parquet", "ORDER BY event_timestamp")[-1]["s"]
    wanted = Wanted("s", "std", "x", 1).value(simple(*values)) if spread is None else spread
    assert got == pytest.approx(wanted, rel=1e-14)


def test_late_events_in_a_file_of_their_own_change_the_snapshots_of_their_time(tmp_path: Path) -> None:
    first = lab.write(tmp_path / "a.parquet", SIMPLE, simple(1.0, 2.0, 3.0, 4.0))
    late = lab.write(tmp_path / "b.parquet", SIMPLE, [{"k": 1, "at": START + timedelta(days=1, hours=3), "x": 10.0}])
    wanted = [feature("sum_2", "sum", "x", 2), feature("last_2", "last", "x", 2)]
    got = []
    for files in ([first], [first, late]):
        lab.compute(lab.params(files, SIMPLE, BY_KEY, wanted, 86_400), tmp_path / "out.parquet")
        got.append(
            [(row["sum_2"], row["last_2"]) for row in lab.read(tmp_path / "out.parquet", "ORDER BY event_timestamp")]
        )
    assert got == [
        [(1.0, 1.0), (3.0, 2.0), (5.0, 3.0), (7.0, 4.0)],
        [(1.0, 1.0), (13.0, 10.0), (15.0, 3.0), (7.0, 4.0)],
    ]


def test_a_grid_of_seconds_over_years_is_small_when_sparse(tmp_path: Path) -> None:
    source = lab.write(tmp_path / "e.parquet", SIMPLE, simple(1.0, 2.0, 3.0, step=timedelta(days=100, seconds=1)))
    wanted = [feature("minute", "sum", "x", 60), feature("month", "sum", "x", 30 * 86_400)]
    asked = lab.params([source], SIMPLE, BY_KEY, wanted, 1, sparse=True)
    made = lab.compute(asked, tmp_path / "out.parquet")
    rows = lab.read(tmp_path / "out.parquet", "ORDER BY event_timestamp")
    assert [(row["minute"], row["month"]) for row in rows] == [
        (1.0, 1.0), (0.0, 1.0), (0.0, 0.0), (2.0, 2.0), (0.0, 2.0), (0.0, 0.0), (3.0, 3.0),
    ]  # fmt: skip
    assert rows[1]["event_timestamp"] == START + timedelta(seconds=61)  # a second after the step's start, and a minute
    assert made.until.replace(tzinfo=None) == rows[-1]["event_timestamp"]


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"where": "x > random()"}, "features.bad-expression"),
        ({"where": "x"}, "features.bad-expression"),
        ({"where": "x < 0"}, "features.no-events"),
        ({"expressions": {"y": "z + 1"}}, "features.bad-expression"),
        ({"expressions": {"y": "CAST(x AS VARCHAR)"}, "features": [feature("f", "sum", "y")]}, "features.not-numeric"),
        ({"features": [feature("f", "max", "x", dtype="int64")]}, "features.bad-dtype"),
        ({"features": [feature("f", "sum", "gone")]}, "data.missing-column"),
        ({"features": [feature("f", "ratio", None, over="gone")]}, "data.missing-column"),
        ({"features": [feature("f", "last", "y")], "expressions": {"y": "x / 0"}}, "data.not-finite"),
        ({"features": [feature("f", "sum", "y")], "expressions": {"y": "x * 1e40"}}, "features.out-of-range"),
        (
            {"features": [feature("f", "sum", "y")], "expressions": {"y": "CAST('word' AS DOUBLE) + x"}},
            "features.out-of-range",
        ),
        ({"timestamp": "when"}, "data.missing-column"),
    ],
)
def test_definitions_that_do_not_fit_the_source_are_refused(tmp_path: Path, change: dict[str, Any], code: str) -> None:
    source = lab.write(tmp_path / "e.parquet", SIMPLE, simple(1.0, 2.0))
    wanted = change.pop("features", [feature("f", "sum", "x")])
    with pytest.raises(MlctlError) as refused:
        lab.compute(lab.params([source], SIMPLE, BY_KEY, wanted, 86_400, **change), tmp_path / "out.parquet")
    assert refused.value.diagnostics[0].code == code
    assert not (tmp_path / "out.parquet").exists()


def test_a_file_that_is_replaced_while_it_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = lab.write(tmp_path / "e.parquet", SIMPLE, simple(1.0, 2.0))
    other = lab.write(tmp_path / "other.parquet", SIMPLE, simple(3.0, 4.0))
    written = windows.copy_parquet

    def replaced_meanwhile(connection: Any, query: str, path: Path) -> None:
        written(connection, query, path)
        other.replace(source)

    monkeypatch.setattr(windows, "copy_parquet", replaced_meanwhile)
    with pytest.raises(MlctlError) as refused:
        lab.compute(lab.params([source], SIMPLE, BY_KEY, [feature("f", "sum", "x")], 86_400), tmp_path / "out.parquet")
    assert refused.value.diagnostics[0].code == "data.changed-while-read"
