"""Folders that are columns, odd tables, and files that change while they are read."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.provider import Context
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from mlctl.types.state import Record
from tests.integration.data.helpers import dataset, refused, run_python, write_sql

pytestmark = pytest.mark.tools

_READ = """
import json, sys
from mlctl.runtime.profile.database import database
from mlctl.runtime.profile.source import relation
from mlctl.types.jobs.profile import Source
from pathlib import Path
import os
os.chdir(sys.argv[1])
with database(Path(".")) as connection:
    source = Source.of(json.loads(sys.argv[2]))
    print(json.dumps(connection.execute(f"SELECT {sys.argv[3]} FROM {relation(source)} ORDER BY ALL").fetchall(), default=str))
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def rows(ctx: Context, made: Record, columns: str) -> list[list[object]]:
    """What a program reads of a dataset."""
    found: list[list[object]] = json.loads(run_python(_READ, str(ctx.root), json.dumps(dict(made.outputs)), columns))
    return found


def write(ctx: Context, name: str, text: str) -> None:
    path = ctx.root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def test_folders_are_columns_of_every_format_with_types(ctx: Context) -> None:
    for year, month, n in ((2023, "12", 1), (2024, "01", 2), (2024, "__HIVE_DEFAULT_PARTITION__", 3)):
        folder = f"year={year}/day=2024-01-0{n}/city=S%C3%A3o%20Paulo/month={month}"
        write_sql(ctx.root / "p" / folder, {"x.parquet": f"SELECT {n} AS n"})
        write(ctx, f"c/{folder}/x.csv", f"n\n{n}\n")
        write(ctx, f"j/{folder}/x.jsonl", f'{{"n": {n}}}\n')
    for path in ("p", "c/**/*.csv", "j"):
        made = dataset(ctx, "d", path=path)
        assert made.outputs["partitions"] == {"year": "bigint", "day": "date", "city": "varchar", "month": "bigint"}
        assert made.outputs["rows"] == 3
        assert rows(ctx, made, "n, year, day, city, month") == [
            [1, 2023, "2024-01-01", "São Paulo", 12],
            [2, 2024, "2024-01-02", "São Paulo", 1],
            [3, 2024, "2024-01-03", "São Paulo", None],
        ], path
        profile = json.loads((ctx.root / str(made.outputs["profile"])).read_text())
        assert [column["name"] for column in profile["columns"]] == ["n", "year", "day", "city", "month"]
    keyed = dataset(ctx, "k", path="p", key=["year", "n"], timestamp="day")
    assert keyed.outputs["timestamp"] == "day"


def test_another_value_of_a_folder_is_another_dataset(ctx: Context) -> None:
    write(ctx, "d/year=1/x.csv", "a\n1\n")
    first = dataset(ctx, "d", path="d")
    (ctx.root / "d/year=1").rename(ctx.root / "d/year=2")
    second = dataset(ctx, "d", path="d")
    assert first.key != second.key
    assert first.digest != second.digest


def test_a_column_in_the_files_and_in_the_folders_is_refused(ctx: Context) -> None:
    write_sql(ctx.root / "d/year=2024", {"x.parquet": "SELECT 1 AS n, 2023 AS Year"})
    assert refused(ctx, path="d").code == "data.partition-collision"


def test_a_folder_above_the_dataset_that_is_no_partition_changes_nothing(tmp_path: Path) -> None:
    root = tmp_path / "run=7"
    root.mkdir()
    ctx = make_context(root)
    write_sql(root, {"d.parquet": "SELECT 1 AS n, 5 AS run"})
    made = dataset(ctx, "d", path="d.parquet")
    assert made.outputs["columns"] == {"n": "integer", "run": "integer"}
    assert rows(ctx, made, "n, run") == [[1, 5]]


def test_an_empty_partition_is_no_rows_and_an_empty_file_is_an_error_that_names_it(ctx: Context) -> None:
    write_sql(ctx.root / "d/year=1", {"x.parquet": "SELECT 1 AS n"})
    write_sql(ctx.root / "d/year=2", {"x.parquet": "SELECT 1 AS n WHERE false"})
    made = dataset(ctx, "d", path="d")
    assert (made.outputs["rows"], rows(ctx, made, "*")) == (1, [[1, 1]])
    (ctx.root / "d/year=3").mkdir()
    (ctx.root / "d/year=3/x.parquet").touch()
    problem = refused(ctx, path="d")
    assert (problem.code, "d/year=3/x.parquet" in problem.summary) == ("data.empty-file", True)


def test_names_in_any_script(ctx: Context) -> None:
    names = 'SELECT 1 AS "größe", \'x\' AS "名前", 2 AS "a b""c", 3 AS "🙂"'
    write_sql(ctx.root / "daten/jahr=zwölf/ключ=да", {"größe 名前.parquet": names})
    made = dataset(ctx, "d", path="daten")
    assert rows(ctx, made, '"größe", "名前", "a b""c", "🙂", jahr, "ключ"') == [[1, "x", 2, 3, "zwölf", "да"]]


@pytest.mark.soak
def test_a_table_of_ten_thousand_columns(ctx: Context) -> None:
    code = "import pyarrow as pa, pyarrow.parquet as pq, sys\npq.write_table(pa.table({f'c{n}': [n, n] for n in range(10_000)}), sys.argv[1])"
    run_python(code, str(ctx.root / "wide.parquet"))
    made = dataset(ctx, "d", path="wide.parquet")
    assert (made.outputs["rows"], len(made.outputs["columns"])) == (2, 10_000)  # type: ignore[arg-type]
    assert not made.outputs["statistics"]  # state stays small; the profile has them
    profile = json.loads((ctx.root / str(made.outputs["profile"])).read_text())
    assert profile["columns"][9_999]["min"] == 9_999


def test_a_column_that_changes_its_type_between_files_is_refused(ctx: Context) -> None:
    write_sql(ctx.root / "d", {"a.parquet": "SELECT 1 AS n, 'x' AS s", "b.parquet": "SELECT '1' AS n, 'x' AS s"})
    problem = refused(ctx, path="d")
    assert (problem.code, problem.why) == ("data.files-differ", "`n` is integer there and varchar here")


def test_a_column_that_changes_its_type_between_runs_is_another_schema(ctx: Context) -> None:
    write_sql(ctx.root, {"d.parquet": "SELECT 1 AS n"})
    first = dataset(ctx, "d", path="d.parquet")
    write_sql(ctx.root, {"d.parquet": "SELECT '1' AS n"})
    second = dataset(ctx, "d", path="d.parquet")
    assert (first.outputs["columns"], second.outputs["columns"]) == ({"n": "integer"}, {"n": "varchar"})
    assert first.digest != second.digest


def test_many_small_files_of_json_lines_fit_in_memory(ctx: Context) -> None:
    for n in range(100):
        text = f'{{"n": {n}.5, "only": null}}\n' if n == 99 else f'{{"n": {n}, "list": [1]}}\n'
        write(ctx, f"d/{n:03}.jsonl", text)
    made = dataset(ctx, "d", path="d")
    assert made.outputs["rows"] == 100
    assert made.outputs["columns"] == {"n": "double", "list": "json", "only": "varchar"}


@pytest.mark.parametrize("step", ["reading the schema", "counting rows and values", "mean, deviation and quantiles"])
def test_a_file_that_is_replaced_while_it_is_read_is_told_and_the_next_apply_is_right(ctx: Context, step: str) -> None:
    write_sql(
        ctx.root,
        {
            "d.parquet": "SELECT range AS n FROM range(3_000_000)",
            "new.parquet": "SELECT 'x' AS s, range AS m FROM range(10)",
        },
    )
    done = []

    def replaced(progress: Progress) -> None:
        if progress.message == step and not done:
            os.replace(ctx.root / "new.parquet", ctx.root / "d.parquet")
            done.append(step)

    with pytest.raises(MlctlError) as caught:
        dataset(replace(ctx, progress=replaced), "d", path="d.parquet")
    assert [item.code for item in caught.value.diagnostics] == ["data.changed-while-reading"]
    made = dataset(ctx, "d", path="d.parquet")
    assert (made.outputs["rows"], made.outputs["columns"]) == (10, {"s": "varchar", "m": "bigint"})


def test_a_column_of_a_text_file_is_read_by_its_type_before_it_is_turned_into_another(ctx: Context) -> None:
    """DuckDB would else read the text itself as the other type: `true` is no number, and `1.50` is not the text of 1.5."""
    write(ctx, "a.csv", "member,paid,price\ntrue,yes,1.50\nfalse,no,2.00\n")
    write(ctx, "b.jsonl", '{"member": true, "price": 1.50}\n{"member": false, "price": 2.00}\n')
    turned = "price::VARCHAR, member::DOUBLE"
    made = dataset(ctx, "a", path="a.csv")
    assert rows(ctx, made, f"{turned}, CAST(paid AS DOUBLE)") == [["1.5", 1.0, 1.0], ["2.0", 0.0, 0.0]]
    assert rows(ctx, dataset(ctx, "b", path="b.jsonl"), turned) == [["1.5", 1.0], ["2.0", 0.0]]
