"""Warehouses as offline stores: what is rendered is what Feast's own classes take, and rows come through Feast's interface."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.integration.features import driver

pytestmark = pytest.mark.tools

OFFLINE = {
    "bigquery": {"type": "bigquery", "project": "acme", "dataset": "scratch", "location": "EU"},
    "snowflake": {"type": "snowflake", "account": "a", "user": "u", "password": "p", "database": "D", "warehouse": "W"},
    "duckdb": {"type": "duckdb"},
}


def params(warehouse: str) -> dict[str, Any]:
    relation = {"bigquery": "`acme.sales.daily`", "snowflake": '"SALES"."DAILY"'}.get(warehouse)
    remote = None if relation is None else {
        "type": warehouse, "connection": {}, "relation": relation, "columns": {"user": "bigint", "at": "timestamp", "total": "double"},
    }  # fmt: skip
    return {
        "view": "spend", "entity": "user", "keys": [{"name": "user", "type": "int64"}], "remote": remote,
        "source": {"files": [], "format": "parquet", "columns": {}}, "timestamp": "at", "source_digest": "",
        "features": [{"name": "amount", "aggregate": None, "column": "total", "window_steps": 0, "dtype": "float64"}],
        "grid_seconds": 0, "ttl_seconds": None, "online": False, "snapshot": "rows.parquet",
        "store": {"project": "p", "registry": "r.db", "online": {"type": "sqlite", "path": "o.db"}, "offline": OFFLINE[warehouse]},
        "marks": {"lineage": "me", "object": "feature_views.spend#"},
    }  # fmt: skip


def test_feast_takes_what_is_rendered_for_a_warehouse(tmp_path: Path) -> None:
    bigquery, snowflake = driver.run(
        tmp_path,
        [{"do": "warehouse", "step": "rendered", "params": params(name)} for name in ("bigquery", "snowflake")],
    )
    assert bigquery == {
        "config": "BigQueryOfflineStoreConfig",
        "source": "BigQuerySource",
        "query": "SELECT `user` AS `user`, `at` AS `event_timestamp`, `total` AS `amount` FROM `acme.sales.daily`",
        "time": "event_timestamp",
    }
    assert snowflake == {
        "config": "SnowflakeOfflineStoreConfig",
        "source": "SnowflakeSource",
        "query": 'SELECT "user" AS "user", "at" AS "event_timestamp", "total" AS "amount" FROM "SALES"."DAILY"',
        "time": "event_timestamp",
    }


def test_every_row_comes_through_the_interface_that_all_offline_stores_of_feast_have(tmp_path: Path) -> None:
    rows = "SELECT i % 3 AS user, TIMESTAMP '2026-01-01' + INTERVAL (i) MINUTE AS event_timestamp, i * 0.5 AS amount FROM range(1000) t(i)"
    compared = "SELECT count(*) FROM (SELECT user, event_timestamp::TIMESTAMP AS at, amount FROM '{}' EXCEPT ALL SELECT user, event_timestamp::TIMESTAMP AS at, amount FROM '{}')"
    *_, more, less, count = driver.run(
        tmp_path,
        [
            {"do": "execute", "sql": [f"COPY ({rows}) TO 'rows.parquet' (FORMAT parquet)"]},
            {"do": "warehouse", "step": "pulled", "params": params("duckdb")},
            {"do": "execute", "sql": [compared.format("rows.parquet", "pulled.parquet")]},
            {"do": "execute", "sql": [compared.format("pulled.parquet", "rows.parquet")]},
            {"do": "execute", "sql": ["SELECT count(*) FROM 'pulled.parquet'"]},
        ],
    )
    assert (more, less, count) == ([[0]], [[0]], [[1000]])
