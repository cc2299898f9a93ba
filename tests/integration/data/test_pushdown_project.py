"""A whole project whose rows stay in PostgreSQL: from the command line, through changes, to a server that is down."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.data.helpers import run_python
from tests.integration.servers import PASSWORD, Postgres, postgres

pytestmark = pytest.mark.tools

PROJECT = """\
project: shop
variables:
  url: {type: string, sensitive: true}
datasets:
  orders:
    database: {type: postgres, url: "${var.url}", table: orders}
    copy: false
    key: [order_id]
    timestamp: at
  users:
    database: {type: postgres, url: "${var.url}", query: 'SELECT user_id, "Größe" FROM users WHERE user_id > 0'}
    copy: false
    key: [user_id]
data_checks:
  orders_ok:
    dataset: orders
    engine: pushdown
    quarantine: true
    rules:
      - not_null: {columns: [order_id]}
      - range: {column: price, min: 0, max: 100}
      - foreign_key: {column: user_id, references: users.user_id}
      - length: {column: "Ländername ☃", min: 2, max: 2}
      - outliers: {columns: [price], method: iqr}
      - schema_drift: {}
      - freshness: {max_age: 7d}
      - sql: {query: SELECT * FROM orders WHERE user_id NOT IN (SELECT user_id FROM users), datasets: [users], severity: warn}
"""
ORDERS = (
    'CREATE TABLE orders (order_id bigint, user_id int, price float8, "Ländername ☃" text, at timestamptz)',
    "INSERT INTO orders SELECT i, 1 + i % 19, i % 50, 'DE', now() FROM generate_series(1, 1000) AS i",
    'CREATE TABLE users (user_id int, "Größe" int)',
    "INSERT INTO users SELECT i, i FROM generate_series(0, 19) AS i",
)


class Shop:
    """The project in a folder, and its server."""

    def __init__(self, root: Path, server: Postgres) -> None:
        self.root, self.server = root, server
        (root / "mlctl.yaml").write_text(PROJECT)

    def mlctl(self, *arguments: str, code: int = 0) -> str:
        """What a command says, which ends with this code and tells no password."""
        command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
        environment = {**os.environ, "MLCTL_VAR_url": self.server.url, "NO_COLOR": "1"}
        done = subprocess.run(command, cwd=self.root, env=environment, capture_output=True, text=True, check=False)
        said = done.stdout + done.stderr
        assert done.returncode == code, said
        assert PASSWORD not in said
        return said

    def rules(self) -> list[dict[str, Any]]:
        """The verdicts of the check that is in force."""
        shown = json.loads(self.mlctl("state", "show", "data_checks.orders_ok", "--json"))
        found: list[dict[str, Any]] = json.loads((self.root / shown["outputs"]["report"]).read_bytes())["rules"]
        return found


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with postgres() as server:
        server.execute(*ORDERS)
        yield Shop(tmp_path, server)


def test_rows_that_stay_in_postgresql_are_checked_there(shop: Shop) -> None:
    assert "warning[data.no-contract]" in shop.mlctl("validate")
    shop.mlctl("apply", "--yes", "--target", "datasets.orders", "--target", "datasets.users")
    shop.mlctl("data", "contract", "record", "orders")
    assert "gate data_checks.orders_ok: passed, 8 rules passed" in shop.mlctl("apply", "--yes")
    assert "No changes" in shop.mlctl("plan")

    shop.server.execute(
        "UPDATE orders SET user_id = 99 WHERE order_id < 3", "UPDATE orders SET price = 500 WHERE order_id = 7"
    )
    assert "foreign_key user_id: 2 of 1,000 rows" in shop.mlctl("apply", "--yes", code=3)
    failing = {item["rule"]: (item["failing_rows"], item["sample"]) for item in shop.rules() if not item["passed"]}
    orphans, far = [{"order_id": 1}, {"order_id": 2}], [{"order_id": 7}]
    assert failing == {"range": (1, far), "foreign_key": (2, orphans), "outliers": (1, far), "sql": (2, orphans)}
    [quarantine] = (shop.root / ".mlctl").rglob("quarantine.parquet")
    rows = json.loads(run_python(QUARANTINED, str(quarantine)))
    assert rows == [
        [1, "DE", "foreign_key user_id; sql"],
        [2, "DE", "foreign_key user_id; sql"],
        [7, "DE", "range price; outliers price"],
    ]
    assert [path.name for path in (shop.root / ".mlctl").rglob("*.parquet")] == [
        "quarantine.parquet"
    ]  # no other row was copied

    shop.server.stop()
    assert "cannot be reached" in shop.mlctl("apply", "--yes", code=1)
    assert "gate not passed" in shop.mlctl("status", code=1)
    shop.server.start()
    shop.server.execute("ALTER TABLE orders RENAME COLUMN price TO prize")
    assert "the dataset has no column `price`" in shop.mlctl("apply", "--yes", code=3)
    for file in shop.root.rglob("*"):
        assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file
    shop.mlctl("destroy", "--yes")
    assert not list((shop.root / ".mlctl").rglob("*.parquet"))
    assert shop.server.execute("SELECT count(*) FROM orders") == [(1000,)]


QUARANTINED = """
import duckdb, json, sys
query = f'SELECT order_id, "Ländername ☃", mlctl_rules FROM \\'{sys.argv[1]}\\' ORDER BY order_id'
print(json.dumps(duckdb.sql(query).fetchall()))
"""
