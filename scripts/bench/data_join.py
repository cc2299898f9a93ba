"""Features at scale: the point-in-time join beside Feast and plain DuckDB, and windows over 50 million events.

    .venv/bin/python scripts/bench/data_join.py [--folder DIR] [--rows 5000000] [--events 50000000] [--skip-windows]

Each side runs in a process of its own, over the same parquet files, from its imports to a parquet file of the result. All
results are compared, row by row, with a reference in numpy that shares no SQL with any of them. Ends with 1 when a bar is
broken: 5 times as fast as Feast's default engine, at most 1.5 times a plain DuckDB script, no mismatch.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Run, median, once

TTL_DAYS = 14
LABELS, FEATURES, RESULT = "labels.parquet", "features.parquet", "result-{}.parquet"
EVENTS = "events.parquet"
NAMES = ("amount_7d", "visits_7d", "price_mean_30d")
WINDOW_KEYS, WINDOW_DAYS = 500_000, 90
MEGABYTE = 1e6


def make_tables(folder: Path, rows: int) -> None:
    """Feature rows at random times of 100,000 keys; label rows at random times, and at the boundaries of some feature row."""
    import duckdb

    start = "TIMESTAMP '2026-01-01'"
    with duckdb.connect() as connection:
        connection.execute(f"""COPY (
            SELECT (i % 100000)::BIGINT AS customer_id,
                   {start} + to_seconds((i // 100000) * 86400 + hash(i) % 80000) AS event_timestamp,
                   (hash(i + 1) % 1000000) / 100.0 AS amount_7d,
                   CASE WHEN hash(i + 2) % 20 > 0 THEN (hash(i + 2) % 50)::BIGINT END AS visits_7d,
                   (hash(i + 3) % 1000000) / 1e4 AS price_mean_30d
            FROM range({rows}) AS made(i) ORDER BY hash(i + 4)
        ) TO '{folder / FEATURES}' (FORMAT parquet, COMPRESSION zstd)""")
        connection.execute(f"""COPY (
            WITH drawn AS (SELECT i, (hash(i + 5) % {rows})::BIGINT AS place FROM range(100000) AS made(i)),
            rows AS (SELECT i, (place % 100000)::BIGINT AS customer_id,
                {start} + to_seconds((place // 100000) * 86400 + hash(place) % 80000) AS seen FROM drawn)
            SELECT i AS row_id, CASE WHEN i % 97 = 0 THEN customer_id + 1000000 ELSE customer_id END AS customer_id,
                   CASE i % 7 WHEN 0 THEN seen                                            -- the same moment
                              WHEN 1 THEN seen + INTERVAL {TTL_DAYS} DAY                  -- exactly the ttl after
                              WHEN 2 THEN seen + INTERVAL {TTL_DAYS} DAY + INTERVAL 1 SECOND
                              WHEN 3 THEN seen - INTERVAL 1 SECOND                        -- that row is still to come
                              WHEN 4 THEN {start} - INTERVAL 1 HOUR                     -- all rows are
                              ELSE seen + to_seconds((hash(i + 6) % 2000000)::BIGINT) END AS event_timestamp,
                   (hash(i + 7) % 2)::INTEGER AS target
            FROM rows ORDER BY i
        ) TO '{folder / LABELS}' (FORMAT parquet)""")


def ours(folder: Path) -> None:
    """The join of a training."""
    from mlctl.runtime.features.join import point_in_time_join
    from mlctl.types.jobs.features import Key, LabelSource, ViewSource

    view = ViewSource(
        view="spend",
        keys=[Key(name="customer_id", type="int64")],
        path=str(folder / FEATURES),
        features={"amount_7d": "float64", "visits_7d": "int64", "price_mean_30d": "float64"},
        ttl_seconds=TTL_DAYS * 86_400,
    )
    labels = LabelSource(files=[str(folder / LABELS)], format="parquet", timestamp="event_timestamp")
    point_in_time_join(labels, [view], folder / RESULT.format("ours"))


def plain(folder: Path) -> None:
    """What one would write by hand: no checks, no order of rows, no bound on memory."""
    import duckdb

    values = ", ".join(
        f"CASE WHEN f.event_timestamp >= l.event_timestamp - INTERVAL {TTL_DAYS} DAY THEN f.{name} END AS {name}"
        for name in NAMES
    )
    duckdb.connect().execute(
        f"COPY (SELECT l.*, {values} FROM '{folder / LABELS}' AS l ASOF LEFT JOIN '{folder / FEATURES}' AS f "
        f"ON l.customer_id = f.customer_id AND l.event_timestamp >= f.event_timestamp) "
        f"TO '{folder / RESULT.format('plain')}' (FORMAT parquet, COMPRESSION zstd)"
    )


def feast_dask(folder: Path) -> None:
    """Feast as it comes: the `dask` engine, which is what `file` means."""
    _feast(folder, "dask")


def feast_duckdb(folder: Path) -> None:
    """Feast's other local engine."""
    _feast(folder, "duckdb")


def _feast(folder: Path, engine: str) -> None:
    from datetime import timedelta

    import pandas as pd
    from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.repo_config import RegistryConfig
    from feast.types import Float64, Int64

    with tempfile.TemporaryDirectory() as name:
        registry = RegistryConfig(registry_type="file", path=f"{name}/registry.db")
        config = RepoConfig(
            project="bench", provider="local", registry=registry, offline_store={"type": engine},
            online_store={"type": "sqlite", "path": f"{name}/online.db"}, entity_key_serialization_version=3,
        )  # fmt: skip
        store = FeatureStore(config=config)
        customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.INT64)
        types = {"amount_7d": Float64, "visits_7d": Int64, "price_mean_30d": Float64}
        view = FeatureView(
            name="spend", entities=[customer], ttl=timedelta(days=TTL_DAYS),
            schema=[Field(name=item, dtype=kind) for item, kind in types.items()],
            source=FileSource(name="rows", path=str(folder / FEATURES), timestamp_field="event_timestamp"),
        )  # fmt: skip
        store.apply([customer, view])
        labels = pd.read_parquet(folder / LABELS)
        found = store.get_historical_features(entity_df=labels, features=[f"spend:{name}" for name in NAMES]).to_df()
    found.to_parquet(
        folder / RESULT.format(engine), coerce_timestamps="us", allow_truncated_timestamps=True, compression="zstd"
    )


def mismatches(folder: Path, side: str) -> dict[str, int]:
    """Rows of a result that are not what the definition says, and rows that it lacks, by looking at every feature row of the key."""
    import numpy as np
    import pyarrow.parquet as parquet

    def table(name: str, columns: list[str]) -> dict[str, Any]:
        read = parquet.read_table(folder / name, columns=columns)
        made = {}
        for column in columns:
            values = read.column(column)
            if column == "event_timestamp":
                made[column] = values.cast("timestamp[us]").to_numpy().astype("int64")
            else:
                made[column] = values.cast("float64").to_numpy(zero_copy_only=False)
        return made

    rows = table(FEATURES, ["customer_id", "event_timestamp", *NAMES])
    order = np.argsort(rows["customer_id"], kind="stable")
    rows = {name: values[order] for name, values in rows.items()}
    labels, result = (
        table(LABELS, ["row_id", "customer_id", "event_timestamp"]),
        table(RESULT.format(side), ["row_id", *NAMES]),
    )
    place = {row: index for index, row in enumerate(result["row_id"].tolist())}
    first = np.searchsorted(rows["customer_id"], labels["customer_id"], side="left")
    end = np.searchsorted(rows["customer_id"], labels["customer_id"], side="right")
    ttl, wrong, absent = TTL_DAYS * 86_400_000_000, 0, 0
    for index, row in enumerate(labels["row_id"].tolist()):
        at, mine = labels["event_timestamp"][index], slice(first[index], end[index])
        times = rows["event_timestamp"][mine]
        good = np.flatnonzero((times <= at) & (times >= at - ttl))
        best = None if len(good) == 0 else mine.start + good[np.argmax(times[good])]
        if row not in place:
            absent += 1
            continue
        wanted = [np.nan if best is None else rows[name][best] for name in NAMES]
        got = [result[name][place[row]] for name in NAMES]
        wrong += not np.array_equal(wanted, got, equal_nan=True)
    moved = int((result["row_id"][: len(labels["row_id"])] != labels["row_id"][: len(result["row_id"])]).sum())
    return {"wrong": wrong, "absent": absent, "out of order": moved}


def make_events(folder: Path, events: int) -> None:
    """Purchases of half a million customers over 90 days."""
    import duckdb

    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(folder / "spill")}) as connection:
        connection.execute(f"""COPY (
            SELECT (hash(i) % {WINDOW_KEYS})::BIGINT AS customer_id,
                   TIMESTAMP '2026-01-01' + to_microseconds((hash(i + 1) % {WINDOW_DAYS * 86_400_000_000})::BIGINT) AS bought,
                   (hash(i + 2) % 100000) / 100.0 AS price, (hash(i + 3) % 5)::INTEGER AS pieces,
                   (hash(i + 4) % 300)::INTEGER AS shop
            FROM range({events}) AS made(i)
        ) TO '{folder / EVENTS}' (FORMAT parquet, COMPRESSION zstd)""")


def _windows(folder: Path, *, sparse: bool, distinct: bool) -> None:
    from mlctl.runtime.features import windows
    from mlctl.runtime.profile.database import database
    from mlctl.types.jobs.features import FeatureColumn, MaterializeParams

    wanted: list[tuple[str, str, str | None, dict[str, str]]] = [
        ("spent", "sum", "worth", {}), ("visits", "count", None, {}), ("price_mean", "mean", "price", {}),
        ("price_max", "max", "price", {}), ("last_price", "last", "price", {}),
        ("share_of_many", "ratio", "worth", {"over": "worth", "where": "pieces > 2"}),
    ]  # fmt: skip
    if distinct:
        wanted += [("shops", "count_distinct", "shop", {}), ("price_std", "std", "price", {})]
    whole = ("count", "count_distinct")
    features = [
        FeatureColumn(
            name=f"{name}_{days}d", aggregate=how, column=column, window_steps=days,
            dtype="int64" if how in whole else "float64", **more,
        )
        for name, how, column, more in wanted for days in (7, 30)
    ]  # fmt: skip
    params = MaterializeParams.model_validate(
        {
            "view": "spend", "entity": "customer", "keys": [{"name": "customer_id", "type": "int64"}],
            "source": {"files": [str(folder / EVENTS)], "format": "parquet", "columns": {}}, "timestamp": "bought",
            "source_digest": "", "expressions": {"worth": "price * pieces"}, "features": features, "sparse": sparse,
            "grid_seconds": 86_400, "ttl_seconds": None, "online": False, "snapshot": "",
            "store": {"project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"}},
            "marks": {"lineage": "l", "object": "o#"},
        }
    )  # fmt: skip
    output = folder / "snapshots.parquet"
    with database(folder) as connection:
        made = windows.compute(connection, params, output)
    shown = {"rows": made.rows, "keys": made.keys, "bytes": output.stat().st_size, "digest": made.digest}
    (folder / "windows.json").write_text(json.dumps(shown))


def dense(folder: Path) -> None:
    """Twelve features: sum, count, mean, max, last and a filtered ratio over 7 and 30 days, each customer and day."""
    _windows(folder, sparse=False, distinct=False)


def dense_all(folder: Path) -> None:
    """With distinct counts and standard deviations: sixteen."""
    _windows(folder, sparse=False, distinct=True)


def sparse(folder: Path) -> None:
    """The twelve, only where they change."""
    _windows(folder, sparse=True, distinct=False)


SIDES: dict[str, Callable[[Path], None]] = {
    side.__name__: side for side in (ours, plain, feast_duckdb, feast_dask, dense, dense_all, sparse)
}


def run(side: str, folder: Path, runs: int) -> Run:
    """One side in a process of its own."""
    command = [sys.executable, str(Path(__file__)), "--side", side, "--folder", str(folder)]
    return once(command) if runs == 1 else median(command, runs=runs)


def compare_joins(folder: Path, rows: int) -> list[str]:
    """Print the table of joins; gives the bars that are broken."""
    make_tables(folder, rows)
    print(f"join of 100,000 label rows with {rows:,} feature rows")
    found: dict[str, Run] = {}
    for side, engine, runs in (
        ("ours", "ours", 3),
        ("plain", "plain", 3),
        ("feast_duckdb", "duckdb", 3),
        ("feast_dask", "dask", 1),
    ):
        found[side] = item = run(side, folder, runs)
        wrong = mismatches(folder, engine)
        told = ", ".join(f"{count:,} {name}" for name, count in wrong.items())
        print(
            f"  {side:13} {item.wall:7.2f} s  {item.cpu:7.2f} CPU s  {item.peak_bytes / MEGABYTE:6.0f} MB  {told}  (others {item.others:.2f})"
        )
        if side == "ours" and any(wrong.values()):
            return ["ours has mismatches"]
    over = found["feast_dask"].cpu / found["ours"].cpu
    beside = found["ours"].cpu / found["plain"].cpu
    print(f"  Feast's default / ours: {over:.1f} x CPU, {found['feast_dask'].wall / found['ours'].wall:.1f} x wall")
    print(
        f"  Feast on DuckDB / ours: {found['feast_duckdb'].cpu / found['ours'].cpu:.1f} x CPU, {found['feast_duckdb'].wall / found['ours'].wall:.1f} x wall"
    )
    print(f"  ours / plain DuckDB: {beside:.2f} x CPU, {found['ours'].wall / found['plain'].wall:.2f} x wall")
    return [
        text for text, broken in (("5 x Feast's default", over < 5), ("1.5 x plain DuckDB", beside > 1.5)) if broken
    ]


def show_windows(folder: Path, events: int, sides: list[str]) -> None:
    """Print what windows over many events take."""
    make_events(folder, events)
    print(f"windows over {events:,} events of {WINDOW_KEYS:,} keys in {WINDOW_DAYS} days")
    for side in sides:
        item = run(side, folder, 1)
        made = json.loads((folder / "windows.json").read_text())
        print(
            f"  {side:10} {item.wall:7.1f} s  {item.cpu:7.1f} CPU s  {item.peak_bytes / MEGABYTE:6.0f} MB  "
            f"{made['rows']:,} snapshots, {made['bytes'] / MEGABYTE:,.0f} MB  (others {item.others:.2f})"
        )


def main() -> None:
    """Run all of it, or one side."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rows", type=int, default=5_000_000)
    parser.add_argument("--events", type=int, default=50_000_000)
    parser.add_argument("--windows", nargs="*", default=["dense", "sparse"], choices=["dense", "dense_all", "sparse"])
    parser.add_argument("--skip-join", action="store_true")
    parser.add_argument("--side", choices=sorted(SIDES))
    asked = parser.parse_args()
    if asked.side:
        SIDES[asked.side](asked.folder)
        return
    broken: list[str] = []
    with tempfile.TemporaryDirectory(prefix="data-join-", dir=asked.folder) as name:
        if not asked.skip_join:
            broken = compare_joins(Path(name), asked.rows)
        if asked.windows:
            show_windows(Path(name), asked.events, asked.windows)
    for text in broken:
        print(f"broken: {text}")
    sys.exit(1 if broken else 0)


if __name__ == "__main__":
    main()
