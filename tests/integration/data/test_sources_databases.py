"""SQLite and DuckDB files as datasets."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from mlctl.provider import Condition, Context
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.conformance import REMOVED, Case, Edit, Then, check_kind
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.state import Record
from tests.integration.data.helpers import dataset, refused, run_python
from tests.integration.data.test_sources_files import rows

pytestmark = pytest.mark.tools


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def execute(ctx: Context, *statements: str) -> None:
    with closing(sqlite3.connect(ctx.root / "shop.db")) as connection, connection:
        for statement in statements:
            connection.execute(statement)


def sqlite(ctx: Context, name: str = "d", /, **values: object) -> Record:
    rest = {field: values.pop(field) for field in ("key", "timestamp") if field in values}
    return dataset(ctx, name, database={"type": "sqlite", "path": "shop.db", **values}, **rest)


def duck(ctx: Context, *statements: str) -> None:
    code = "import duckdb, sys\nc = duckdb.connect(sys.argv[1])\nfor s in sys.argv[2:]: c.execute(s)\nc.close()"
    run_python(code, str(ctx.root / "shop.duckdb"), *statements)


def test_declared_types_of_sqlite_are_honoured(ctx: Context) -> None:
    execute(
        ctx,
        "CREATE TABLE t (id INTEGER PRIMARY KEY, price REAL, n NUMERIC, name VARCHAR(20), ok BOOLEAN, day DATE, at TIMESTAMP, raw BLOB, any)",
        "INSERT INTO t VALUES (2, 1, 5, 'x', 1, '2024-01-31', '2024-01-31 10:00:00.5', x'00ff', 7), (1, NULL, 2.5, '', 0, NULL, '2024-01-31T12:00:00+02:00', NULL, NULL)",
    )
    made = sqlite(ctx, table="t", key=["id"], timestamp="at")
    assert made.outputs["columns"] == {
        "id": "bigint", "price": "double", "n": "double", "name": "varchar", "ok": "boolean", "day": "date", "at": "timestamp",
        "raw": "blob", "any": "bigint",
    }  # fmt: skip
    assert rows(ctx, made, 'id, price, n, name, ok, day, "at", raw, "any"') == [
        [1, None, 2.5, "", False, None, "2024-01-31 10:00:00", None, None],
        [2, 1.0, 5.0, "x", True, "2024-01-31", "2024-01-31 10:00:00.500000", "b'\\x00\\xff'", 7],
    ]


@pytest.mark.parametrize(
    ("declared", "value", "code"),
    [
        ("INTEGER", "'abc'", "data.value-does-not-fit"),
        ("REAL", "'abc'", "data.value-does-not-fit"),
        ("TEXT", "x'00'", "data.value-does-not-fit"),
        ("BOOLEAN", "2", "data.value-does-not-fit"),
        ("TIMESTAMP", "'yesterday'", "data.value-does-not-fit"),
        ("DATE", "'31/01/2024'", "data.value-does-not-fit"),
        ("NUMERIC", "9007199254740993", "data.value-does-not-fit"),
    ],
)
def test_a_value_that_is_not_of_the_declared_type_is_refused_with_its_column(
    ctx: Context, declared: str, value: str, code: str
) -> None:
    execute(ctx, f"CREATE TABLE t (a INTEGER, odd {declared})", f"INSERT INTO t VALUES (1, NULL), (2, {value})")
    problem = refused(ctx, database={"type": "sqlite", "path": "shop.db", "table": "t"})
    assert (problem.code, "`odd`" in problem.summary) == (code, True)


def test_a_query_of_sqlite_gives_columns_by_what_they_hold_and_only_reads(ctx: Context) -> None:
    execute(ctx, "CREATE TABLE t (id INTEGER, x REAL)", "INSERT INTO t VALUES (1, 1.5), (1, 2), (2, NULL)")
    made = sqlite(
        ctx, query="SELECT id, sum(x) AS total, count(*) AS n, 'a' || id AS name FROM t GROUP BY id ORDER BY id;"
    )
    assert made.outputs["columns"] == {"id": "bigint", "total": "double", "n": "bigint", "name": "varchar"}
    assert rows(ctx, made, "id, total, n, name") == [[1, 3.5, 2, "a1"], [2, None, 1, "a2"]]
    for query, code in (
        ("DELETE FROM t RETURNING *", "data.bad-query"),
        ("SELECT 1 AS a) AS t; DROP TABLE t; --", "data.bad-query"),
        ("SELECT nope FROM t", "data.missing-column"),
        ("SELECT * FROM nope", "data.missing-table"),
    ):
        assert refused(ctx, database={"type": "sqlite", "path": "shop.db", "query": query}).code == code, query
    with closing(sqlite3.connect(ctx.root / "shop.db")) as connection:
        assert connection.execute("SELECT count(*) FROM t").fetchone() == (3,)


def test_rows_in_a_write_ahead_log_are_read_and_count(ctx: Context) -> None:
    writer = sqlite3.connect(ctx.root / "shop.db")
    with closing(writer):
        writer.execute("PRAGMA journal_mode = wal")
        writer.execute("CREATE TABLE t (id INTEGER)")
        writer.execute("INSERT INTO t VALUES (1)")
        writer.commit()
        first = sqlite(ctx, table="t", key=["id"])
        writer.execute("INSERT INTO t VALUES (2)")
        writer.commit()
        second = sqlite(ctx, table="t", key=["id"])
    assert [first.outputs["rows"], second.outputs["rows"]] == [1, 2]
    assert first.key != second.key
    files = sorted(item.name for item in ctx.root.iterdir())
    assert sqlite(ctx, table="t").outputs["rows"] == 2
    assert sorted(item.name for item in ctx.root.iterdir()) == files  # a reader leaves nothing beside the database


def test_the_same_rows_in_another_file_give_the_same_digest(ctx: Context) -> None:
    execute(ctx, "CREATE TABLE t (id INTEGER, name TEXT)", "INSERT INTO t VALUES (2, 'b'), (1, NULL)")
    first = sqlite(ctx, table="t", key=["id"])
    execute(ctx, "CREATE TABLE other (x)", "DELETE FROM t", "INSERT INTO t VALUES (1, NULL), (2, 'b')")
    second = sqlite(ctx, table="t", key=["id"])
    execute(ctx, "UPDATE t SET name = '' WHERE id = 1")
    third = sqlite(ctx, table="t", key=["id"])
    assert first.key != second.key
    assert first.digest == second.digest != third.digest


def test_what_is_no_sqlite_file_is_told(ctx: Context) -> None:
    (ctx.root / "shop.db").write_bytes(b"not a database" * 100)
    assert refused(ctx, database={"type": "sqlite", "path": "shop.db", "table": "t"}).code == "data.unreadable"


def test_a_duckdb_file_is_read_and_nothing_else_of_the_machine(ctx: Context) -> None:
    duck(
        ctx,
        "CREATE SCHEMA s",
        "CREATE TABLE s.t AS SELECT 3 - range AS id, 'x' || range AS name, [range] AS l, 1.5::DECIMAL(9,2) AS d FROM range(3)",
    )
    where = {"type": "duckdb", "path": "shop.duckdb"}
    made = dataset(ctx, "d", database={**where, "table": "s.t"}, key=["id"])
    assert made.outputs["columns"] == {"id": "bigint", "name": "varchar", "l": "bigint[]", "d": "decimal(9,2)"}
    assert rows(ctx, made, "id, name, l") == [[1, "x2", [2]], [2, "x1", [1]], [3, "x0", [0]]]
    queried = dataset(ctx, "q", database={**where, "query": "SELECT sum(id) AS n FROM s.t"})
    assert rows(ctx, queried, "n") == [[6]]
    (ctx.root / "secret.csv").write_text("a\n1\n")
    for query, code in (
        ("SELECT * FROM read_csv('secret.csv')", "data.bad-query"),
        ("SELECT * FROM nope", "data.missing-table"),
        ("SELECT nope FROM s.t", "data.bad-query"),
        ("DELETE FROM s.t", "data.bad-query"),
    ):
        assert refused(ctx, database={**where, "query": query}).code == code, query


def test_a_duckdb_file_that_another_program_writes_is_told(ctx: Context) -> None:
    duck(ctx, "CREATE TABLE t AS SELECT 1 AS a")
    holding = (
        "import duckdb, subprocess, sys\nc = duckdb.connect(sys.argv[1])\n"
        "done = subprocess.run([sys.executable, '-c', sys.argv[2], sys.argv[3]], capture_output=True, text=True)\n"
        "print(done.stdout, done.stderr)"
    )
    apply = (
        "import sys\nfrom pathlib import Path\nfrom mlctl.testing.harness import make_context\n"
        "from tests.integration.data.helpers import refused\n"
        "print(refused(make_context(Path(sys.argv[1])), database={'type': 'duckdb', 'path': 'shop.duckdb', 'table': 't'}).code)"
    )
    said = run_python(holding, str(ctx.root / "shop.duckdb"), apply, str(ctx.root))
    assert said.split()[0] == "data.database-locked"


def test_what_is_no_duckdb_file_is_told(ctx: Context) -> None:
    (ctx.root / "shop.duckdb").write_bytes(b"not a database" * 1000)
    assert refused(ctx, database={"type": "duckdb", "path": "shop.duckdb", "table": "t"}).code == "data.unreadable"


def test_a_copy_that_was_removed_is_made_again(ctx: Context) -> None:
    execute(ctx, "CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)")
    first = sqlite(ctx, table="t")
    file = ctx.root / str(first.outputs["files"][0])  # type: ignore[index]
    assert file.stat().st_mode & 0o777 == 0o600
    file.unlink()
    assert sqlite(ctx, table="t").digest == first.digest
    assert file.exists()


def test_a_copy_that_was_changed_is_broken_and_made_again(ctx: Context) -> None:
    execute(ctx, "CREATE TABLE t (id INTEGER)", "INSERT INTO t VALUES (1)")
    values = {"database": {"type": "sqlite", "path": "shop.db", "table": "t"}}
    first = dataset(ctx, "d", **values)
    whole = Dataset().read(first, ctx)
    assert whole is not None
    assert whole.condition is Condition.READY
    file = ctx.root / str(first.outputs["files"][0])  # type: ignore[index]
    file.write_bytes(file.read_bytes() + b"x")
    seen = Dataset().read(first, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.BROKEN, "the copy of its rows was changed")
    again = Dataset().apply(make_desired(Dataset(), "datasets.d", values, ctx), first, ctx)
    assert again.outputs["digest"] == first.digest
    assert rows(ctx, first, "id") == [[1]]


def test_a_dataset_of_a_database_keeps_the_rules_of_kinds(ctx: Context) -> None:
    execute(
        ctx,
        "CREATE TABLE t (id INTEGER, at TIMESTAMP)",
        "INSERT INTO t VALUES (1, '2024-01-01')",
        "CREATE TABLE u (id INTEGER, at TIMESTAMP)",
    )
    case = Case(
        "datasets.d",
        {"database": {"type": "sqlite", "path": "shop.db", "table": "t"}, "timestamp": "at", "key": ["id"]},
        [
            Edit("database.table", "u", Then.ANOTHER_OBJECT),
            Edit("timestamp", REMOVED, Then.ANOTHER_OBJECT),
            Edit("key", REMOVED, Then.ANOTHER_OBJECT),
            *(
                Edit(field, value, Then.NOTHING)
                for field, value in (("path", None), ("format", None), ("s3", None), ("copy", True))
            ),
        ],
        count=lambda: len(list((ctx.home / "objects" / "datasets.d").glob("*"))),
    )
    check_kind(Dataset(), case, ctx)
