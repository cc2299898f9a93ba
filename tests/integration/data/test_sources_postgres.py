"""PostgreSQL as a source: types, versions, one snapshot, bounded memory, and what works while it is down."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest

from mlctl.provider import Context
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from tests.integration.data.helpers import dataset, refused
from tests.integration.data.test_sources_files import rows
from tests.integration.servers import PASSWORD, Postgres, postgres, postgres_server  # noqa: F401

pytestmark = pytest.mark.tools


@pytest.fixture
def server(postgres_server: Postgres) -> Postgres:  # noqa: F811 (a fixture)
    """An empty schema."""
    postgres_server.execute("DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return postgres_server


@pytest.fixture
def ctx(tmp_path: Path, server: Postgres) -> Context:
    return replace(make_context(tmp_path), secrets=Secrets({"var.orders_url": server.url}, b"k" * 32))


def table(ctx: Context, server: Postgres, name: str = "t", **values: object) -> Record:
    rest = {field: values.pop(field) for field in ("key", "timestamp", "copy") if field in values}
    block = {"type": "postgres", "url": server.url, **({} if "query" in values else {"table": name}), **values}
    return dataset(ctx, "d", database=block, **rest)


def problem(ctx: Context, server: Postgres, **values: object) -> str:
    key = {"key": values.pop("key")} if "key" in values else {}
    return refused(ctx, database={"type": "postgres", "url": server.url, **values}, **key).code


_TYPES = """CREATE TABLE t (id bigint PRIMARY KEY, small smallint, i int, f real, d double precision, n numeric(12,3),
 free numeric, ok boolean, name text, day date, at timestamp, zoned timestamptz, u uuid, j jsonb, js json, a int[], raw bytea, span interval, "T""ime" time)"""
_ROW = """INSERT INTO t VALUES (%d, 1, 2, 1.5, %s, 12.345, 3.25, true, %s, '2024-01-31', '2024-01-31 10:00:00.123456',
 '2024-01-31 10:00:00+02', 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11', '{"a": 1}', '{"a":1}', '{1,2}', '\\x00ff', '1 day', '10:00')"""


def test_types_nulls_and_texts_come_over_as_they_are(ctx: Context, server: Postgres) -> None:
    server.execute(
        _TYPES,
        _ROW % (3, "'NaN'", "E'line\\n\"quoted\", and \\\\.'"),
        _ROW % (2, "'-Infinity'", "''"),
        "INSERT INTO t (id) VALUES (1)",
    )
    made = table(ctx, server, key=["id"], timestamp="zoned")
    assert made.outputs["columns"] == {
        "id": "bigint", "small": "smallint", "i": "integer", "f": "float", "d": "double", "n": "decimal(12,3)", "free": "double",
        "ok": "boolean", "name": "varchar", "day": "date", "at": "timestamp", "zoned": "timestamp with time zone", "u": "varchar",
        "j": "varchar", "js": "varchar", "a": "varchar", "raw": "blob", "span": "varchar", 'T"ime': "time",
    }  # fmt: skip
    assert rows(ctx, made, "id, d::VARCHAR, n, name, \"at\", epoch(zoned), u, a, raw, \"T\"\"ime\"") == [
        [1, None, None, None, None, None, None, None, None, None],
        [2, "-inf", "12.345", "", "2024-01-31 10:00:00.123456", 1706688000.0, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{1,2}", "b'\\x00\\xff'", "10:00:00"],
        [3, "nan", "12.345", "line\n\"quoted\", and \\.", "2024-01-31 10:00:00.123456", 1706688000.0, "a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11", "{1,2}", "b'\\x00\\xff'", "10:00:00"],
    ]  # fmt: skip


def test_a_table_of_one_column_keeps_its_nulls_and_an_empty_one_is_no_rows(ctx: Context, server: Postgres) -> None:
    server.execute(
        "CREATE TABLE t (x text)", "INSERT INTO t VALUES (NULL), (''), ('a'), (NULL)", "CREATE TABLE none (x int)"
    )
    assert rows(ctx, table(ctx, server), "x") == [[""], ["a"], [None], [None]]
    assert table(ctx, server, "none").outputs["rows"] == 0


def test_what_does_not_fit_is_refused_and_names_the_column(ctx: Context, server: Postgres) -> None:
    server.execute("CREATE TABLE t (a int, at timestamp)", "INSERT INTO t VALUES (1, '2024-01-01'), (2, 'infinity')")
    found = refused(ctx, database={"type": "postgres", "url": server.url, "table": "t"})
    assert (found.code, found.summary) == (
        "data.value-does-not-fit",
        "a value of `at` does not fit the column's type timestamp",
    )


def test_only_reading_is_possible(ctx: Context, server: Postgres) -> None:
    server.execute(
        "CREATE TABLE t (id int, name text)",
        "INSERT INTO t VALUES (1, 'a')",
        "CREATE SEQUENCE s",
        "CREATE ROLE nobody_here",
    )
    assert rows(ctx, table(ctx, server, query="SELECT id * 2 AS twice FROM t; "), "twice") == [[2]]
    assert problem(ctx, server, query="SELECT nextval('s') AS n") == "data.query-writes"
    assert problem(ctx, server, query="DELETE FROM t RETURNING *") == "data.bad-query"
    assert problem(ctx, server, query="SELECT 1 AS a) AS t; DROP TABLE t; --") == "data.bad-query"
    assert problem(ctx, server, query="SELECT 1 AS a, 2 AS A") == "data.bad-columns"
    assert problem(ctx, server, query="SELECT nope FROM t") == "data.missing-column"
    assert problem(ctx, server, table="nope") == "data.missing-table"
    assert problem(ctx, server, table="t", key=["nope"]) == "data.missing-column"
    assert problem(ctx, server, table="t", version={"watermark": "nope"}) == "data.missing-column"
    assert server.execute("SELECT count(*) FROM t") == [(1,)]


def test_the_login_the_database_and_the_url_are_told_apart_without_the_password(ctx: Context, server: Postgres) -> None:
    for url, code in (
        (server.url.replace(PASSWORD, "wrong-password"), "data.database-login"),
        (server.url_of("nope"), "data.missing-database"),
        (server.url.replace(str(server.port), "1"), "data.database-unreachable"),
        (f"{server.url}?sslmode=require", "data.database-unreachable"),  # it has no certificate, and is asked for one
        (f"{server.url}?nope=1", "data.bad-url"),
    ):
        with pytest.raises(MlctlError) as caught:
            make_desired(Dataset(), "datasets.d", {"database": {"type": "postgres", "url": url, "table": "t"}}, ctx)
        [found] = caught.value.diagnostics
        assert found.code == code, url
        assert found.fix
        assert PASSWORD not in f"{found.summary}{found.why}{found.fix}"


def test_an_unchanged_table_is_the_same_dataset_and_a_changed_row_is_another(ctx: Context, server: Postgres) -> None:
    server.execute(
        "CREATE TABLE t (id int PRIMARY KEY, x float)", "INSERT INTO t SELECT g, g FROM generate_series(1, 1000) g"
    )
    first = table(ctx, server, key=["id"])
    server.execute("UPDATE t SET x = x", "VACUUM FULL t")  # other places on the disk, the same rows
    assert table(ctx, server, key=["id"]).key == first.key
    server.execute("UPDATE t SET x = 0 WHERE id = 7")
    second = table(ctx, server, key=["id"])
    server.execute("ALTER TABLE t ALTER COLUMN id TYPE bigint")
    third = table(ctx, server, key=["id"])
    assert len({item.key for item in (first, second, third)}) == 3
    assert len({item.digest for item in (first, second, third)}) == 3
    server.execute("UPDATE t SET x = 7 WHERE id = 7", "ALTER TABLE t ALTER COLUMN id TYPE int")
    assert table(ctx, server, key=["id"]).digest == first.digest


def test_a_copy_that_gives_the_same_rows_gives_the_same_digest(ctx: Context, server: Postgres) -> None:
    server.execute(
        "CREATE TABLE t (id int, at timestamptz)", "INSERT INTO t VALUES (1, '2024-01-01'), (2, '2024-01-02')"
    )
    query = "SELECT id FROM t WHERE id < 3"
    plain = table(ctx, server, query=query, key=["id"])
    other = table(ctx, server, query=f"{query} AND true", key=["id"])
    assert plain.key != other.key
    assert plain.digest == other.digest


def test_a_table_that_is_written_to_meanwhile_is_told_and_a_watermark_reads_what_was_planned(
    ctx: Context, server: Postgres
) -> None:
    server.execute(
        "CREATE TABLE t (id serial, at timestamptz)",
        "INSERT INTO t (at) SELECT '2024-01-01'::timestamptz + g * interval '1 s' FROM generate_series(1, 100) g",
    )
    block = {"type": "postgres", "url": server.url, "table": "t"}
    marked = {"database": {**block, "version": {"watermark": "at"}}, "key": ["id"]}
    snapshot = make_desired(Dataset(), "datasets.s", {"database": block}, ctx)
    planned = make_desired(Dataset(), "datasets.w", marked, ctx)
    assert planned.parts["rows:t"] == "100 rows up to 2024-01-01 00:01:40+00"
    server.execute("INSERT INTO t (at) VALUES ('2024-01-02')")
    with pytest.raises(MlctlError, match="changed after they were planned"):
        Dataset().apply(snapshot, None, ctx)
    assert Dataset().apply(planned, None, ctx).outputs["rows"] == 100
    assert dataset(ctx, "w", **marked).outputs["rows"] == 101
    server.execute("INSERT INTO t (at) VALUES (NULL)")
    assert problem(ctx, server, table="t", version={"watermark": "at"}) == "data.null-watermark"


def test_a_copy_sees_one_moment_whatever_others_write(ctx: Context, server: Postgres) -> None:
    server.execute(
        "CREATE TABLE t (id int, filler text)",
        "INSERT INTO t SELECT g, repeat('x', 500) FROM generate_series(1, 60000) g",
    )
    wrote = threading.Event()

    def write(progress: Progress) -> None:
        if progress.message == "comparing with what was planned" and not wrote.is_set():
            wrote.set()
            server.execute("DELETE FROM t WHERE id > 10")

    # the write comes while the transaction is open: before its snapshot it is a change, and after it nobody sees it
    try:
        found = table(replace(ctx, progress=write), server).outputs["rows"]
    except MlctlError as error:
        found = error.diagnostics[0].code
    assert wrote.is_set()
    assert found in (60000, "data.changed-while-reading")


def test_a_server_that_stops_in_the_middle_is_told_and_the_next_apply_heals(tmp_path: Path) -> None:
    with postgres() as own:
        own.execute(
            "CREATE TABLE t (id int, filler text)",
            "INSERT INTO t SELECT g, repeat('x', 900) FROM generate_series(1, 100000) g",
        )
        ctx = replace(make_context(tmp_path), secrets=Secrets({"var.u": own.url}, b"k"))
        stopped = threading.Event()

        def stop(progress: Progress) -> None:
            if progress.message == "comparing with what was planned" and not stopped.is_set():
                stopped.set()
                own.stop()

        with pytest.raises(MlctlError) as caught:
            table(replace(ctx, progress=stop), own, key=["id"])
        assert caught.value.diagnostics[0].code == "data.database-unreachable"
        own.start()
        assert table(ctx, own, key=["id"]).outputs["rows"] == 100_000
        assert not list(tmp_path.rglob("*.part"))


def test_rows_that_stay_are_counted_in_the_database(ctx: Context, server: Postgres) -> None:
    server.execute(_TYPES, _ROW % (3, "'NaN'", "'a'"), _ROW % (2, "'Infinity'", "''"), "INSERT INTO t (id) VALUES (1)")
    made = table(ctx, server, key=["id"], copy=False)
    assert "files" not in made.outputs
    remote = made.outputs["remote"]
    assert isinstance(remote, dict)
    assert (remote["type"], remote["key"], remote["connection"]) == ("postgres", ["id"], {"url": server.url})
    assert made.outputs["rows"] == 3
    known = made.outputs["statistics"]
    assert isinstance(known, dict)
    assert known["id"] == {"nulls": 0, "approx_distinct": 3, "min": 1, "max": 3}
    assert known["d"] == {
        "nulls": 2,
        "approx_distinct": 1,
    }  # NaN counts as null, and an infinite value has no place in a range
    assert known["js"]["approx_distinct"] == 1  # plain JSON has no equality there; its text has
    assert not list(ctx.folder(made.key).glob("*.parquet"))
    before = made.digest
    server.execute("UPDATE t SET small = 9")
    assert table(ctx, server, key=["id"], copy=False).digest != before


def test_no_secret_is_written_anywhere(ctx: Context, server: Postgres) -> None:
    server.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    table(ctx, server)
    for file in ctx.root.rglob("*"):
        if file.is_file():
            assert PASSWORD.encode() not in file.read_bytes(), file


_PROJECT = """project: shop
variables:
  orders_url: {type: string, sensitive: true}
environments: {dev: {}, prod: {}}
datasets:
  orders: {database: {type: postgres, url: "${var.orders_url}", table: orders}, key: [id]}
  local: {path: local.csv}
data_checks:
  orders_good: {dataset: orders, rules: [{not_null: {columns: [id]}}]}
"""


def mlctl(root: Path, server: Postgres, *arguments: str) -> subprocess.CompletedProcess[str]:
    import os

    command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
    environment = {**os.environ, "MLCTL_VAR_orders_url": server.url, "NO_COLOR": "1"}
    return subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_a_whole_project_with_promotion_and_a_database_that_is_down(tmp_path: Path) -> None:
    with postgres() as own:
        own.execute("CREATE TABLE orders (id int)", "INSERT INTO orders SELECT generate_series(1, 500)")
        (tmp_path / "mlctl.yaml").write_text(_PROJECT)
        (tmp_path / "local.csv").write_text("a\n1\n")
        applied = mlctl(tmp_path, own, "-e", "dev", "apply", "--yes")
        assert applied.returncode == 0, applied.stdout + applied.stderr
        assert "No changes" in mlctl(tmp_path, own, "-e", "dev", "plan").stdout
        # a promoted dataset has its rows in its own environment, and needs the other one no more
        promoted = mlctl(tmp_path, own, "promote", "--from", "dev", "--to", "prod", "--yes")
        assert promoted.returncode == 0, promoted.stdout + promoted.stderr
        shown = mlctl(tmp_path, own, "-e", "prod", "state", "show", "datasets.orders", "--json")
        files = re.findall(r'"(\.mlctl/[^"]*snapshot\.parquet)"', shown.stdout)
        assert files, shown.stdout + shown.stderr
        assert all(file.startswith(".mlctl/prod/") and (tmp_path / file).is_file() for file in files)
        destroyed = mlctl(tmp_path, own, "-e", "dev", "destroy", "--yes")
        assert destroyed.returncode == 0, destroyed.stdout + destroyed.stderr
        assert all((tmp_path / file).is_file() for file in files)
        assert "No changes" in mlctl(tmp_path, own, "-e", "prod", "plan").stdout
        own.stop()
        down = mlctl(tmp_path, own, "-e", "prod", "plan")
        said = down.stdout + down.stderr
        assert down.returncode == 1
        assert "datasets.orders" in said
        assert "cannot be reached" in said
        assert "fix: start it" in said
        assert PASSWORD not in said
        status = mlctl(tmp_path, own, "-e", "prod", "status")
        assert status.returncode == 0, status.stdout + status.stderr
        assert "500 rows" in status.stdout
        assert mlctl(tmp_path, own, "-e", "prod", "plan", "--target", "datasets.local").returncode in (0, 2)
        own.start()
        own.execute("INSERT INTO orders VALUES (501)")
        changed = json.loads(mlctl(tmp_path, own, "-e", "prod", "plan", "--json").stdout.splitlines()[-1] or "{}")
        assert "rows:orders" in json.dumps(changed) or "501 rows" in mlctl(tmp_path, own, "-e", "prod", "plan").stdout
        for file in (tmp_path / ".mlctl").rglob("*"):
            assert not file.is_file() or PASSWORD.encode() not in file.read_bytes(), file


def test_names_of_schemas_and_odd_tables(ctx: Context, server: Postgres) -> None:
    name = f"My.Schema {uuid4().hex[:6]}"
    server.execute(f'CREATE SCHEMA "{name}"', f'CREATE TABLE "{name}"."Größe ""x""" (id int)')
    assert table(ctx, server, f'"{name}"."Größe ""x"""').outputs["rows"] == 0
    server.execute(f'DROP SCHEMA "{name}" CASCADE')


def test_a_query_cannot_end_the_transaction_that_keeps_it_from_writing(ctx: Context, server: Postgres) -> None:
    server.execute("CREATE TABLE t (id int)", "INSERT INTO t VALUES (1)")
    query = "SELECT 1 AS a) AS t; COMMIT; DELETE FROM t; SELECT 1 AS a FROM (SELECT 1 AS a"
    assert problem(ctx, server, query=query) == "data.bad-query"
    assert rows(ctx, table(ctx, server), "id") == [[1]]
    assert rows(ctx, table(ctx, server, query="SELECT 'a;b' AS \"x;y\", '%s' AS z -- one; two"), "*") == [["a;b", "%s"]]
    assert table(ctx, server, query="SELECT relacl FROM pg_class").outputs["columns"] == {
        "relacl": "varchar"
    }  # no binary form
