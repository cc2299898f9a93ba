"""Windows against brute force, over random events full of edges: midnights, gaps, nulls, ties."""

from __future__ import annotations

import json
import math
import random
import statistics
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.integration.features import driver

pytestmark = pytest.mark.tools

COLUMNS = {
    "k": "bigint",
    "at": "timestamp",
    "price": "double",
    "pieces": "integer",
    "tag": "varchar",
    "amount": "decimal(9,2)",
    "back": "boolean",
}
START = datetime(2026, 2, 26)
DAY, HOUR = timedelta(days=1), timedelta(hours=1)
AGGREGATES = [
    ("count", None), ("count", "price"), ("count_distinct", "tag"), ("count_distinct", "pieces"), ("sum", "price"),
    ("sum", "pieces"), ("sum", "amount"), ("sum", "back"), ("mean", "price"), ("min", "price"), ("max", "pieces"),
    ("std", "price"), ("last", "price"), ("last", "pieces"),
]  # fmt: skip


def features(*windows: int) -> list[dict[str, Any]]:
    return [
        {
            "name": f"{aggregate}_{column or 'events'}_{steps}",
            "aggregate": aggregate,
            "column": column,
            "window_steps": steps,
            "dtype": "int64" if aggregate.startswith("count") else "float64",
        }
        for aggregate, column in AGGREGATES
        for steps in windows
    ]


def params(files: list[str], wanted: list[dict[str, Any]], grid: timedelta = DAY, **change: Any) -> dict[str, Any]:
    return {
        "view": "v",
        "entity": "e",
        "keys": [{"name": "k", "type": "int64"}],
        "source": {"files": files, "format": "parquet", "columns": COLUMNS},
        "timestamp": "at",
        "source_digest": "",
        "features": wanted,
        "grid_seconds": int(grid.total_seconds()),
        "ttl_seconds": None,
        "online": False,
        "snapshot": "unused",
        "store": {
            "project": "p",
            "registry": "r",
            "online": {"type": "sqlite", "path": "o"},
            "offline": {"type": "duckdb"},
        },
        "marks": {"lineage": "l", "object": "o#"},
        **change,
    }


def random_events(seed: int, span: timedelta, grid: timedelta) -> list[dict[str, Any]]:
    """Events of five keys; a third of them at a step's very start or in the microsecond before it."""
    draw = random.Random(seed)
    steps = int(span / grid)
    events = []
    for _ in range(120):
        at = START + draw.randrange(steps) * grid
        at += draw.choice([timedelta(0), -timedelta(microseconds=1), draw.random() * grid, draw.random() * grid])
        events.append(
            {
                "k": draw.choice([1, 2, 3, 3, 3, -7, None] if draw.random() < 0.2 else [1, 2, 3]),
                "at": at.isoformat(sep=" ") if draw.random() > 0.02 else None,
                "price": draw.choice([None, round(draw.uniform(-50, 200), 2), 3.3, 1e-7, 12345678.25]),
                "pieces": draw.choice([None, 0, 1, 2, -3]),
                "tag": draw.choice([None, "a", "b", "c", "d"]),
                "amount": draw.choice([None, 0.01, 999.99]),
                "back": draw.choice([None, True, False]),
            }
        )
    return events


def brute_force(
    events: list[dict[str, Any]], wanted: list[dict[str, Any]], grid: timedelta
) -> dict[tuple[int, datetime], dict[str, Any]]:
    """Every snapshot by the definition: for each key and step, look at all events of the window that ends there."""
    known = [
        {**item, "at": datetime.fromisoformat(item["at"])}
        for item in events
        if item["k"] is not None and item["at"] is not None
    ]
    epoch = datetime(1970, 1, 1)
    last = max((item["at"] - epoch) // grid for item in known)
    rows: dict[tuple[int, datetime], dict[str, Any]] = {}
    for key in {item["k"] for item in known}:
        mine = [item for item in known if item["k"] == key]
        for step in range(min((item["at"] - epoch) // grid for item in mine), last + 1):
            end = epoch + (step + 1) * grid
            rows[key, end] = {
                item["name"]: aggregate(
                    [event for event in mine if end - item["window_steps"] * grid <= event["at"] < end], item
                )
                for item in wanted
            }
    return rows


def aggregate(events: list[dict[str, Any]], feature: dict[str, Any]) -> float | None:
    how, column = feature["aggregate"], feature["column"]
    if column is None:
        return len(events)
    filled = sorted((event["at"], event[column]) for event in events if event[column] is not None)
    values = [value for _, value in filled]
    if how in ("count", "count_distinct"):
        return len(values) if how == "count" else len(set(values))
    if how == "sum":
        return math.fsum(values)
    if not values or (how == "std" and len(values) < 2):
        return None
    if how == "last":
        return values[-1]  # by time, and among events of the same moment the largest
    by_name = {"mean": statistics.fmean, "min": min, "max": max, "std": statistics.stdev}
    return float(by_name[how](values))


def write_events(path: Path, events: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(event) + "\n" for event in events))
    types = json.dumps(COLUMNS).replace('"', "'")
    return f"COPY (SELECT * FROM read_json('{path}', format='newline_delimited', columns={types})) TO '{path.with_suffix('.parquet')}' (FORMAT parquet)"


def test_windows_equal_brute_force(tmp_path: Path) -> None:
    cases = [(seed, 40 * DAY, DAY, (1, 7, 30)) for seed in range(3)] + [
        (seed, 3 * DAY, HOUR, (1, 5, 48)) for seed in (7, 8)
    ]
    steps, expected = [], []
    for seed, span, grid, sizes in cases:
        events = random_events(seed, span, grid)
        source, output = tmp_path / f"{seed}.jsonl", tmp_path / f"{seed}.out.parquet"
        wanted = features(*sizes)
        steps += [
            {"do": "execute", "sql": [write_events(source, events)]},
            {
                "do": "compute",
                "params": params([str(source.with_suffix(".parquet"))], wanted, grid),
                "output": str(output),
            },
            {
                "do": "execute",
                "sql": [f"SELECT k, event_timestamp, {', '.join(item['name'] for item in wanted)} FROM '{output}'"],
            },
        ]
        expected.append(brute_force(events, wanted, grid))
    results = driver.run(tmp_path, steps)
    for index, (want, (_, _, _, sizes)) in enumerate(zip(expected, cases, strict=True)):
        made, rows = results[3 * index + 1], results[3 * index + 2]
        names = [item["name"] for item in features(*sizes)]
        got = {(row[0], datetime.fromisoformat(row[1])): dict(zip(names, row[2:], strict=True)) for row in rows}
        assert got.keys() == want.keys()
        assert made["rows"] == len(rows) == len(want)
        for place, values in want.items():
            for name, value in values.items():
                close = (
                    got[place][name] == pytest.approx(value, rel=1e-9, abs=1e-9)
                    if value is not None
                    else got[place][name] is None
                )
                assert close, (index, place, name, value, got[place][name])


def _moments(*texts: str) -> list[dict[str, Any]]:
    return [{"k": 1, "at": text, "price": 1.5, "pieces": 1, "tag": "a", "amount": 1, "back": True} for text in texts]


def test_an_event_at_midnight_is_known_a_day_later(tmp_path: Path) -> None:
    events = _moments("2026-03-01 00:00:00", "2026-03-02 23:59:59.999999", "2026-03-03 00:00:00")
    wanted = [
        {"name": "n_1", "aggregate": "count", "column": None, "window_steps": 1, "dtype": "int64"},
        {"name": "s_2", "aggregate": "sum", "column": "price", "window_steps": 2, "dtype": "float32"},
    ]
    output = tmp_path / "out.parquet"
    _, made, rows = driver.run(
        tmp_path,
        [
            {"do": "execute", "sql": [write_events(tmp_path / "e.jsonl", events)]},
            {"do": "compute", "params": params([str(tmp_path / "e.parquet")], wanted), "output": str(output)},
            {"do": "execute", "sql": [f"SELECT strftime(event_timestamp, '%d %H:%M'), n_1, s_2 FROM '{output}'"]},
        ],
    )
    assert rows == [["02 00:00", 1, 1.5], ["03 00:00", 1, 3.0], ["04 00:00", 1, 3.0]]
    assert (made["since"], made["until"]) == ("2026-03-02 00:00:00+00:00", "2026-03-04 00:00:00+00:00")


def test_the_digest_is_of_the_content_alone(tmp_path: Path) -> None:
    """Not of the order of rows, the number of files, their format, or of threads; and of every value."""
    events = random_events(3, 40 * DAY, DAY)
    shuffled = random.Random(0).sample(events, len(events))
    changed = [dict(item) for item in events]
    place = next(
        index
        for index, item in enumerate(changed)
        if item["k"] is not None and item["at"] is not None and item["price"] is not None
    )
    changed[place]["price"] += 0.01
    steps: list[dict[str, Any]] = [
        {"do": "execute", "sql": [write_events(tmp_path / f"{name}.jsonl", rows)]}
        for name, rows in {"all": events, "one": shuffled[:40], "two": shuffled[40:], "changed": changed}.items()
    ]
    wanted = features(1, 7)
    text = {"files": [str(tmp_path / "two.jsonl"), str(tmp_path / "one.jsonl")], "format": "jsonl", "columns": COLUMNS}
    sources: list[dict[str, Any]] = [
        params([str(tmp_path / "all.parquet")], wanted),
        params([str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet")], wanted),
        params([], wanted, source=text),
        params([str(tmp_path / "changed.parquet")], wanted),
    ]
    for index, source in enumerate(sources):
        steps.append(
            {
                "do": "compute",
                "params": source,
                "output": str(tmp_path / f"out{index}.parquet"),
                "threads": 1 + index % 2,
            }
        )
    first, second, third, other = (result["digest"] for result in driver.run(tmp_path, steps)[4:])
    assert first == second == third
    assert other != first


@pytest.mark.parametrize(
    ("events", "change", "code"),
    [
        ([{**_moments("2026-03-01")[0], "k": None}], {}, "features.no-events"),
        (_moments("2026-03-01", "2999-01-01"), {}, "data.future-timestamp"),
        (_moments("0001-01-01", "2026-03-01"), {"grid_seconds": 60}, "features.grid-too-fine"),
    ],
)
def test_events_that_are_refused(
    events: list[dict[str, Any]], change: dict[str, Any], code: str, tmp_path: Path
) -> None:
    wanted = [{"name": "s", "aggregate": "sum", "column": "price", "window_steps": 7, "dtype": "float64"}]
    _, refused = driver.run(
        tmp_path,
        [
            {"do": "execute", "sql": [write_events(tmp_path / "e.jsonl", events)]},
            {
                "do": "compute",
                "params": params([str(tmp_path / "e.parquet")], wanted, **change),
                "output": str(tmp_path / "out.parquet"),
            },
        ],
    )
    assert refused["error"] == code


def test_values_that_are_refused(tmp_path: Path) -> None:
    def table(name: str, price: str) -> str:
        return f"COPY (SELECT 1::BIGINT AS k, TIMESTAMP '2026-03-01' AS at, {price} AS price) TO '{tmp_path / name}' (FORMAT parquet)"

    source = {"format": "parquet", "columns": {"k": "bigint", "at": "timestamp", "price": "double"}}
    whole = {"name": "s", "aggregate": "sum", "column": "price", "window_steps": 7}
    steps: list[dict[str, Any]] = [
        {
            "do": "execute",
            "sql": [
                table("nan.parquet", "'nan'::DOUBLE"),
                table("huge.parquet", "1e37::DOUBLE"),
                table("long.parquet", "1e12::DOUBLE"),
            ],
        }
    ]
    for name, dtype in (("nan", "float64"), ("huge", "float64"), ("long", "float64"), ("missing", "float64")):
        asked = params([], [{**whole, "dtype": dtype}], source={**source, "files": [str(tmp_path / f"{name}.parquet")]})
        steps.append({"do": "compute", "params": asked, "output": str(tmp_path / f"{name}.out.parquet")})
    _, nan, huge, long, missing = driver.run(tmp_path, steps)
    assert (nan["error"], huge["error"], missing["error"]) == (
        "data.not-finite",
        "features.out-of-range",
        "data.missing-file",
    )
    assert long["rows"] == 1


def test_equal_values_have_no_spread_and_keys_may_be_text(tmp_path: Path) -> None:
    rows = ", ".join(
        f"('it''s|{day % 2}', TIMESTAMP '2026-03-01' + INTERVAL {day} DAY, {1e6 if day < 20 else 0.1})"
        for day in range(40)
    )
    source, output = tmp_path / "e.parquet", tmp_path / "out.parquet"
    wanted = [{"name": "spread", "aggregate": "std", "column": "price", "window_steps": 8, "dtype": "float64"}]
    asked = params(
        [],
        wanted,
        keys=[{"name": "k", "type": "string"}],
        source={
            "files": [str(source)],
            "format": "parquet",
            "columns": {"k": "varchar", "at": "timestamp", "price": "double"},
        },
    )
    _, made, found = driver.run(
        tmp_path,
        [
            {
                "do": "execute",
                "sql": [f"COPY (SELECT * FROM (VALUES {rows}) AS t(k, \"at\", price)) TO '{source}' (FORMAT parquet)"],
            },
            {"do": "compute", "params": asked, "output": str(output)},
            {
                "do": "execute",
                "sql": [
                    f"SELECT DISTINCT spread FROM '{output}' WHERE event_timestamp BETWEEN '2026-03-06' AND '2026-03-20' OR event_timestamp >= '2026-03-30'"
                ],
            },
        ],
    )
    assert made["keys"] == 2
    assert found == [[0.0]]
