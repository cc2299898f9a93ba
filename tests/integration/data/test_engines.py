"""Two engines, one verdict: every engine comes to the hand-counted verdicts of the rule book, and to those of DuckDB on any table."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.great_expectations.engines import why_not
from mlctl.types.jobs.checks import parse_rule
from tests.integration.data import rule_book
from tests.integration.data.rule_book import BOOK, Expected
from tests.integration.servers import Postgres, postgres

pytestmark = pytest.mark.tools

DRIVER = Path(__file__).with_name("engine_driver.py")
# A small session: what takes long for forty rows is compiling each query and starting tasks.
SPARK = {
    "type": "spark", "master": "local[2]",
    "config": {"spark.driver.memory": "1g", "spark.sql.shuffle.partitions": "1", "spark.sql.codegen.wholeStage": "false",
               "spark.sql.adaptive.enabled": "false", "spark.sql.codegen.factoryMode": "NO_CODEGEN"},
}  # fmt: skip
GX = {"type": "great_expectations"}


def drive(folder: Path, engine: Mapping[str, Any], cases: Sequence[Mapping[str, Any]]) -> list[Any]:
    asked = json.dumps({"engine": engine, "folder": str(folder), "cases": cases})
    root = Path(__file__).parents[3]
    environment = {
        **os.environ,
        "PYTHONPATH": str(root),
        "TZ": "Asia/Tokyo",
    }  # no verdict hangs on where the machine is
    done = subprocess.run(
        [sys.executable, str(DRIVER)],
        input=asked,
        capture_output=True,
        text=True,
        env=environment,
        cwd=folder,
        timeout=400,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    found: list[Any] = json.loads(done.stdout.splitlines()[-1])
    return found


def doable(engine: str) -> list[Expected]:
    """The rules of the book that an engine does; not one that it refuses is in the way of the others."""
    return [item for item in BOOK if not any(why_not(name, parse_rule(item.rule), engine) for name in item.rule)]


def case_of(book: Sequence[Expected], **others: Any) -> dict[str, Any]:
    return {
        "tables": {rule_book.DATASET: rule_book.ORDERS, "users": rule_book.USERS}, "keys": {rule_book.DATASET: ["id"], "users": ["user_id"]},
        "timestamp": "at", "contract": rule_book.CONTRACT, "rules": [item.rule for item in book], **others,
    }  # fmt: skip


def agrees(book: Sequence[Expected], found: Any) -> None:
    for item, (passed, checked, failing, sample, reason) in zip(book, found["rules"], strict=True):
        got = (passed, checked, failing, [row["id"] for row in sample])
        assert got == (item.passed, item.checked, item.failing, item.sample), (item.rule, reason)


@pytest.fixture(scope="module")
def by_duckdb(tmp_path_factory: pytest.TempPathFactory) -> Any:
    [found] = drive(tmp_path_factory.mktemp("duckdb"), {"type": "duckdb"}, [case_of(BOOK)])
    return found


def same_as_duckdb(found: Any, by_duckdb: Any, book: Sequence[Expected]) -> None:
    """Down to the words, and to the rows in the quarantine."""
    mine = [rule for item, rule in zip(BOOK, by_duckdb["rules"], strict=True) if item in book]
    for item, one, other in zip(book, found["rules"], mine, strict=True):
        if "sql" not in item.rule and "distribution" not in item.rule:  # an engine's own words, and the last digits
            assert one == other
    if len(book) == len(BOOK):
        assert found["quarantine"] == by_duckdb["quarantine"]
    assert len(found["quarantine"]) == rule_book.ROWS


def test_great_expectations_comes_to_the_verdicts_of_the_rule_book(tmp_path: Path, by_duckdb: Any) -> None:
    [found] = drive(tmp_path, {**GX, "data_docs": True}, [case_of(BOOK)])
    agrees(BOOK, found)
    same_as_duckdb(found, by_duckdb, BOOK)
    page = tmp_path / found["docs"]
    folder = page if page.is_dir() else page.parent.parent
    suite = json.loads((folder / "suite.json").read_text())
    results = json.loads((folder / "validation.json").read_text())
    assert "expect_column_values_to_not_be_null" in {item["type"] for item in suite["expectations"]}
    assert len(results["results"]) == len(suite["expectations"]) > 30
    assert "<html" in (folder / "site" / "index.html").read_text()


def test_spark_comes_to_the_verdicts_of_the_rule_book(tmp_path: Path, by_duckdb: Any) -> None:
    book = doable("spark")
    assert len(book) == len(BOOK)
    [found] = drive(tmp_path, SPARK, [case_of(book)])
    agrees(book, found)
    same_as_duckdb(found, by_duckdb, book)
    assert not (tmp_path / "case0" / "job" / "spark").exists()


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with postgres() as made:
        yield made


def test_postgresql_comes_to_the_verdicts_of_the_rule_book(tmp_path: Path, by_duckdb: Any, server: Postgres) -> None:
    from tests.integration.data.helpers import run_python

    remotes = json.loads(run_python(REMOTES, str(server.port), server.url))
    book = doable("pushdown: postgres")
    assert len(book) == len(BOOK)
    [found] = drive(tmp_path, {"type": "pushdown"}, [case_of(book, remotes=remotes)])
    agrees(book, found)
    same_as_duckdb(found, by_duckdb, book)


REMOTES = """
import json, sys
from types import SimpleNamespace
from tests.integration.data.engines_help import remotes
print(json.dumps(remotes(SimpleNamespace(url=sys.argv[2]))))
"""


def test_any_small_table_gets_the_same_verdicts_from_both(tmp_path: Path) -> None:
    """Random tables of few values, so that all happens: repeats, nulls, NaN, infinities, constant and empty columns."""
    cases = [random_case(random.Random(seed)) for seed in range(12)]
    one = drive(_made(tmp_path / "one"), {"type": "duckdb"}, cases)
    other = drive(_made(tmp_path / "other"), GX, cases)
    for case, mine, theirs in zip(cases, one, other, strict=True):
        for rule, by_one, by_other in zip(case["rules"], mine["rules"], theirs["rules"], strict=True):
            assert by_one == by_other, (rule, case["tables"])
        assert mine["quarantine"] == theirs["quarantine"]
    passed = [rule[0] for found in one for rule in found["rules"]]
    assert 0.2 < sum(passed) / len(passed) < 0.8  # it tells something either way


def random_case(chance: random.Random) -> dict[str, Any]:
    def column(values: Sequence[str], kind: str) -> list[str]:
        kept = chance.sample(values, chance.randint(1, len(values)))
        return [f"CAST({chance.choice(kept)} AS {kind})" for _ in range(rows)]

    rows = chance.randint(1, 12)
    columns = {
        "id": [str(number) for number in chance.sample(range(100), rows)],
        "n": column(["NULL", "0", "1", "2", "-5", "9007199254740993"], "BIGINT"),
        "x": column(["NULL", "'nan'", "'inf'", "'-inf'", "0", "0.1", "1", "2.5", "1e300"], "DOUBLE"),
        "f": column(["NULL", "'nan'", "0.1", "0.2", "16777217"], "FLOAT"),
        "d": column(["NULL", "0.10", "1.10", "39.10"], "DECIMAL(10, 2)"),
        "s": column(["NULL", "''", "'a'", "'A'", "'äö'", "'a' || chr(10)", "'a-1'"], "VARCHAR"),
        "b": column(["NULL", "true", "false"], "BOOLEAN"),
        "t": column(["NULL", "'2024-01-01'", "'2024-01-01 00:00:01'", "'2025-06-01'"], "TIMESTAMP"),
    }
    lines = ", ".join("(" + ", ".join(cells) + ")" for cells in zip(*columns.values(), strict=True))
    table = f"SELECT * FROM (VALUES {lines}) AS t({', '.join(columns)})"
    ratio = {"max_ratio": chance.choice([0.1, 0.25, 0.5])} if chance.random() < 0.5 else {}
    rules: list[dict[str, dict[str, Any]]] = [
        *({"not_null": {"columns": [name]} | ratio} for name in columns), {"not_null": {"columns": ["n", "x", "s"]} | ratio},
        *({"unique": {"columns": [name]}} for name in columns), {"unique": {"columns": ["n", "s"]}}, {"unique": {"columns": ["x", "t", "b"]}},
        {"range": {"column": "n", "min": 0, "max": 1} | ratio}, {"range": {"column": "n", "max": 0.5}}, {"range": {"column": "x", "min": 0.1} | ratio},
        {"range": {"column": "f", "max": 0.1} | ratio}, {"range": {"column": "d", "min": 1.1} | ratio},
        {"range": {"column": "t", "min": "2024-01-01T00:00:01"} | ratio}, {"range": {"column": "t", "max": "2024-12-31T23:00:00-01:00"}},
        {"set": {"column": "n", "values": [0, 2]} | ratio}, {"set": {"column": "x", "values": [0.1, 1]} | ratio},
        {"set": {"column": "f", "values": [0.1]} | ratio}, {"set": {"column": "d", "values": [1.1]} | ratio},
        {"set": {"column": "s", "values": ["a", ""]} | ratio}, {"set": {"column": "b", "values": [False]} | ratio},
        {"set": {"column": "t", "values": ["2024-01-01"]} | ratio},
        {"regex": {"column": "s", "pattern": "[a-z].?"} | ratio}, {"regex": {"column": "s", "pattern": "(?i)a(-\\d)?"} | ratio},
        {"length": {"column": "s", "min": 1, "max": 2} | ratio},
        *({"outliers": {"columns": [name], "method": method, "threshold": 1} | ratio} for name in "nxfd" for method in ("z_score", "iqr")),
        {"outliers": {"columns": ["n", "x"], "threshold": 0.5} | ratio}, {"row_count": {"min": 3, "max": 9}},
    ]  # fmt: skip
    return {"tables": {"data": table}, "keys": {"data": ["id"]} if chance.random() < 0.7 else {}, "rules": rules}


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder
