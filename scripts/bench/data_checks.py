"""Data checks at scale: ten rules over 50 million rows of nine columns, one of them exact uniqueness, one a foreign key.

    .venv/bin/python scripts/bench/data_checks.py [--folder DIR] [--rows 50000000] [--small 5000000] [--skip-peers]

mlctl's checks program beside a DuckDB script that does the same ten checks by hand within the same memory limit, and on fewer
rows beside Great Expectations on pandas and pandera on polars. Each side runs in a process of its own, from its imports to the
counts it has found; all sides must count the same. Ends with 1 when a bar is broken: under 2 GB with `memory_limit: 1GB`, at
most 1.2 times the script by hand, at least 3 times as fast as Great Expectations with at most a quarter of its memory.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from measure import Run, once

TABLE, CUSTOMERS, RESULT = "txn-{}.parquet", "customers.parquet", "result-{}.json"
LIMIT, THREADS = "1GB", 2
COUNTRIES = ["DE", "FR", "US", "GB", "IN", "BR", "JP", "CN"]
EMAIL = r"user\d+@example\.com"
PEAK_BAR, BY_HAND_BAR, FASTER_BAR, SMALLER_BAR = 2e9, 1.2, 3.0, 4.0

RULES: list[dict[str, dict[str, Any]]] = [
    {"not_null": {"columns": ["txn_id", "customer_id", "ts"]}},
    {"not_null": {"columns": ["age"], "max_ratio": 0.02}},
    {"range": {"column": "amount", "min": 0, "max": 500, "max_ratio": 0.001}},
    {"range": {"column": "age", "min": 18, "max": 78}},
    {"set": {"column": "country", "values": COUNTRIES}},
    {"regex": {"column": "email", "pattern": EMAIL}},
    {"length": {"column": "email", "min": 5, "max": 40}},
    {"outliers": {"columns": ["amount"], "method": "z_score", "max_ratio": 0.03}},
    {"unique": {"columns": ["txn_id"]}},
    {"foreign_key": {"column": "customer_id", "references": "customers.customer_id"}},
]
NAMES = [next(iter(rule)) for rule in RULES]


def make_tables(folder: Path, rows: int) -> None:
    """Transactions of a million customers, with 1 % of the ages missing; made once, and kept where `--folder` is given."""
    import duckdb

    path = folder / TABLE.format(rows)
    beside = path.with_suffix(".part")
    with duckdb.connect(config={"memory_limit": "2GB", "temp_directory": str(folder / "spill")}) as connection:
        if not (folder / CUSTOMERS).exists():
            query = "SELECT c AS customer_id, 'c' || c AS name FROM range(1000000) AS made(c)"
            connection.execute(f"COPY ({query}) TO '{folder / CUSTOMERS}' (FORMAT parquet, COMPRESSION zstd)")
        if path.exists():
            return
        connection.execute(f"""COPY (
            SELECT i AS txn_id, (hash(i) % 1000000)::BIGINT AS customer_id,
                   round(-50 * ln(1 - (hash(i * 7 + 1) % 999983) / 999983.0), 2)::DOUBLE AS amount,
                   CASE WHEN hash(i * 3 + 5) % 100 > 0 THEN 18 + (hash(i * 11 + 2) % 61) END::INTEGER AS age,
                   {COUNTRIES!r}[(hash(i * 13 + 3) % 8 + 1)::INTEGER] AS country,
                   'user' || (hash(i) % 1000000) || '@example.com' AS email,
                   ['new', 'paid', 'sent', 'done'][(hash(i * 17 + 4) % 4 + 1)::INTEGER] AS status,
                   TIMESTAMP '2024-01-01' + to_seconds(i) AS ts, (1 + hash(i * 19 + 6) % 10)::SMALLINT AS quantity
            FROM range({rows}) AS made(i)
        ) TO '{beside}' (FORMAT parquet, COMPRESSION zstd)""")
    beside.rename(path)


def write_job(folder: Path, rows: int) -> Path:
    """The job file of mlctl's checks program: the ten rules, its default engine, no quarantine."""
    job = folder / f"job-{rows}"
    job.mkdir(exist_ok=True)
    (job / "result.json").unlink(missing_ok=True)
    source = {"files": [str(folder / TABLE.format(rows))], "format": "parquet", "columns": {}, "key": ["txn_id"]}
    params = {
        "dataset": "txn",
        "source": source,
        "source_digest": "",
        "references": {"customers": {"files": [str(folder / CUSTOMERS)], "format": "parquet", "columns": {}}},
        "rules": RULES,
        "engine": {"type": "duckdb", "memory_limit": LIMIT, "threads": THREADS},
        "report": str(job / "report.json"),
    }
    (job / "job.json").write_text(json.dumps({"program": "checks", "params": params}))
    return job


def by_hand(folder: Path, rows: int) -> list[int]:
    """The same ten checks as somebody writes them who knows DuckDB: one pass, the outliers, uniqueness, the foreign key."""
    import duckdb

    connection = duckdb.connect(
        config={"memory_limit": LIMIT, "threads": THREADS, "temp_directory": str(folder / "spill-hand")}
    )
    connection.execute(f"CREATE VIEW txn AS FROM read_parquet('{folder / TABLE.format(rows)}')")
    connection.execute(f"CREATE VIEW customers AS FROM read_parquet('{folder / CUSTOMERS}')")
    countries = ", ".join(f"'{name}'" for name in COUNTRIES)
    first = connection.execute(f"""
        SELECT count(*), count_if(txn_id IS NULL OR customer_id IS NULL OR ts IS NULL), count_if(age IS NULL),
               count_if(amount < 0 OR amount > 500), count_if(age < 18 OR age > 78), count_if(country NOT IN ({countries})),
               count_if(NOT regexp_full_match(email, '{EMAIL}')), count_if(length(email) < 5 OR length(email) > 40),
               avg(amount), stddev_samp(amount)
        FROM txn""").fetchone()
    total, *counted, mean, deviation = first
    low, high = mean - 3 * deviation, mean + 3 * deviation
    [outliers] = connection.execute("SELECT count_if(amount < ? OR amount > ?) FROM txn", [low, high]).fetchone()
    [distinct] = connection.execute("SELECT count(DISTINCT txn_id) FROM txn").fetchone()
    [orphans] = connection.execute(
        "SELECT count(*) FROM txn WHERE customer_id IS NOT NULL"
        " AND customer_id NOT IN (SELECT customer_id FROM customers WHERE customer_id IS NOT NULL)"
    ).fetchone()
    return [*map(int, counted), int(outliers), total - distinct, int(orphans)]


def by_great_expectations(folder: Path, rows: int) -> list[int]:
    """One suite, one run, on a pandas frame; the library has no foreign keys, which pandas looks up beside it."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    frame = pd.read_parquet(folder / TABLE.format(rows))
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    asset = context.data_sources.add_pandas("mem").add_dataframe_asset("txn")
    batches = asset.add_batch_definition_whole_dataframe("all")
    expectations = [
        *(gxe.ExpectColumnValuesToNotBeNull(column=name, meta={"rule": 0}) for name in ("txn_id", "customer_id", "ts")),
        gxe.ExpectColumnValuesToNotBeNull(column="age", mostly=0.98, meta={"rule": 1}),
        gxe.ExpectColumnValuesToBeBetween(column="amount", min_value=0, max_value=500, mostly=0.999, meta={"rule": 2}),
        gxe.ExpectColumnValuesToBeBetween(column="age", min_value=18, max_value=78, meta={"rule": 3}),
        gxe.ExpectColumnValuesToBeInSet(column="country", value_set=COUNTRIES, meta={"rule": 4}),
        gxe.ExpectColumnValuesToMatchRegex(column="email", regex=f"^{EMAIL}$", meta={"rule": 5}),
        gxe.ExpectColumnValueLengthsToBeBetween(column="email", min_value=5, max_value=40, meta={"rule": 6}),
        gxe.ExpectColumnValueZScoresToBeLessThan(
            column="amount", threshold=3, double_sided=True, mostly=0.97, meta={"rule": 7}
        ),
        gxe.ExpectColumnValuesToBeUnique(column="txn_id", meta={"rule": 8}),
    ]
    suite = context.suites.add(gx.ExpectationSuite(name="s", expectations=expectations))
    definition = context.validation_definitions.add(gx.ValidationDefinition(name="v", data=batches, suite=suite))
    done = definition.run(batch_parameters={"dataframe": frame}, result_format="BASIC")
    counts = [0] * len(RULES)
    for result in done.results:
        counts[result.expectation_config.meta["rule"]] += int(result.result["unexpected_count"])
    customers = pd.read_parquet(folder / CUSTOMERS, columns=["customer_id"])["customer_id"]
    counts[9] = int((~frame["customer_id"].isin(customers)).sum())
    return counts


def by_pandera(folder: Path, rows: int) -> list[int]:
    """A pandera schema on a polars frame, all failures collected; the foreign key is an anti join beside it."""
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    frame = pl.read_parquet(folder / TABLE.format(rows))
    mean, deviation = frame["amount"].mean(), frame["amount"].std()
    fences = (mean - 3 * deviation, mean + 3 * deviation)
    schema = pa.DataFrameSchema(
        {
            "txn_id": pa.Column(pl.Int64, nullable=False, unique=True),
            "customer_id": pa.Column(pl.Int64, nullable=False),
            "ts": pa.Column(pl.Datetime, nullable=False),
            "amount": pa.Column(pl.Float64, [pa.Check.in_range(0, 500), pa.Check.in_range(*fences)]),
            "age": pa.Column(pl.Int32, pa.Check.in_range(18, 78), nullable=True),
            "country": pa.Column(str, pa.Check.isin(COUNTRIES)),
            "email": pa.Column(str, [pa.Check.str_matches(f"^{EMAIL}$"), pa.Check.str_length(5, 40)]),
        }
    )  # fmt: skip
    found: dict[str, int] = {}
    try:
        schema.validate(frame, lazy=True)
    except SchemaErrors as errors:
        for check, count in errors.failure_cases.group_by("check").len().iter_rows():
            found[check] = count
    ranged = found.pop("in_range(0, 500)", 0)
    outliers = found.pop(f"in_range({fences[0]}, {fences[1]})", 0)
    if found:
        raise SystemExit(f"pandera found more than there is: {found}")
    customers = pl.read_parquet(folder / CUSTOMERS, columns=["customer_id"])
    orphans = frame.join(customers, on="customer_id", how="anti").height
    return [0, frame["age"].null_count(), ranged, 0, 0, 0, 0, outliers, 0, orphans]


SIDES: dict[str, Callable[[Path, int], list[int]]] = {
    "by-hand": by_hand,
    "great-expectations": by_great_expectations,
    "pandera": by_pandera,
}


def measured(side: str, folder: Path, rows: int) -> tuple[Run, list[int]]:
    """One run of a side in a process of its own, and the offending rows that it counted, rule by rule."""
    if side == "mlctl":
        job = write_job(folder, rows)
        run = once([sys.executable, "-m", "mlctl.runtime", "checks", str(job)], folder)
        result = json.loads((job / "result.json").read_text())
        return run, [int(rule["failing_rows"]) for rule in result["outputs"]["rules"]]
    quiet = {"DO_NOT_TRACK": "true", "GX_ANALYTICS_ENABLED": "false"}
    arguments = [sys.executable, __file__, "--folder", str(folder), "--rows", str(rows), "--side", side]
    run = once(arguments, folder, env=quiet)
    counts: list[int] = json.loads((folder / RESULT.format(side)).read_text())
    return run, counts


def compare(sides: list[str], folder: Path, rows: int) -> dict[str, Run]:
    """Measure each side once, print what it took, and end when two have not counted the same."""
    print(f"\n{rows:,} rows x 9 columns, ten rules, {LIMIT} of memory for DuckDB, {THREADS} threads\n")
    print("| side | wall s | CPU s | peak MB | cores taken by others |\n|---|---|---|---|---|")
    runs: dict[str, Run] = {}
    expected: list[int] | None = None
    for side in sides:
        runs[side], counts = measured(side, folder, rows)
        run = runs[side]
        print(
            f"| {side} | {run.wall:.1f} | {run.cpu:.1f} | {run.peak_bytes / 1e6:,.0f} | {run.others:.2f} |", flush=True
        )
        expected = expected or counts
        if counts != expected:
            raise SystemExit(f"{side} counts {dict(enumerate(zip(NAMES, counts, strict=True)))}, {sides[0]} {expected}")
    print(
        f"\nall counted the same: {', '.join(f'{name} {count:,}' for name, count in zip(NAMES, expected or [], strict=True))}"
    )
    return runs


def bar(text: str, found: float, limit: float, *, most: bool) -> bool:
    """Print one bar and whether it holds."""
    holds = found <= limit if most else found >= limit
    print(f"- {text}: {found:.2f} (bar {'at most' if most else 'at least'} {limit:g}){'' if holds else '  BROKEN'}")
    return holds


def main() -> int:
    """Make the tables, run the sides, print the bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, help="where the tables are kept; else a temporary folder")
    parser.add_argument("--rows", type=int, default=50_000_000)
    parser.add_argument("--small", type=int, default=5_000_000)
    parser.add_argument("--skip-peers", action="store_true", help="without Great Expectations and pandera")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.side:
        counts = SIDES[asked.side](asked.folder, asked.rows)
        (asked.folder / RESULT.format(asked.side)).write_text(json.dumps(counts))
        sys.stdout.flush()
        os._exit(0)  # as our worker does: nobody waits for a library to be taken apart
    with tempfile.TemporaryDirectory(prefix="mlctl-checks-") as scratch:
        folder = asked.folder or Path(scratch)
        folder.mkdir(parents=True, exist_ok=True)
        for rows in (asked.rows, asked.small):
            make_tables(folder, rows)
        large = compare(["mlctl", "by-hand"], folder, asked.rows)
        ours, hand = large["mlctl"], large["by-hand"]
        print()
        holds = [
            bar("peak memory, GB", ours.peak_bytes / 1e9, PEAK_BAR / 1e9, most=True),
            bar("CPU against the script by hand", ours.cpu / hand.cpu, BY_HAND_BAR, most=True),
            bar("wall clock against the script by hand", ours.wall / hand.wall, BY_HAND_BAR, most=True),
        ]
        if not asked.skip_peers:
            small = compare(["mlctl", "great-expectations", "pandera"], folder, asked.small)
            ours, peer = small["mlctl"], small["great-expectations"]
            print()
            holds += [
                bar("Great Expectations' wall clock against ours", peer.wall / ours.wall, FASTER_BAR, most=False),
                bar("Great Expectations' CPU against ours", peer.cpu / ours.cpu, FASTER_BAR, most=False),
                bar(
                    "Great Expectations' memory against ours",
                    peer.peak_bytes / ours.peak_bytes,
                    SMALLER_BAR,
                    most=False,
                ),
            ]
    return 0 if all(holds) else 1


if __name__ == "__main__":
    sys.exit(main())
