"""Datasets profiled by the real program."""

import json
from collections import Counter
from pathlib import Path
from statistics import stdev

import pytest

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import make_context, make_desired
from mlctl.types.diagnostic import MlctlError
from mlctl.types.event import Progress
from tests.integration.data.helpers import dataset, refused, write_sql

pytestmark = pytest.mark.tools

ROWS = """
    SELECT i AS id, CASE WHEN i % 10 <> 0 THEN i * 0.5::DOUBLE END AS price, TIMESTAMP '2017-01-01 00:00:30' + to_hours(i) AS t,
        CASE WHEN i % 3 = 0 THEN 'many' ELSE 'n' || i % 7 END AS s, i % 2 = 0 AS even
    FROM range(1, 1001) AS r(i)
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def as_text(ctx: Context) -> None:
    """The table of ROWS, written by hand as CSV and JSONL."""
    lines, objects = ["id,price,t,s,even"], []
    for i in range(1, 1001):
        day, hour = divmod(i, 24)
        month, day = (1, day) if day < 31 else (2, day - 31)
        stamp = f"2017-{month:02}-{day + 1:02}T{hour:02}:00:30"
        price, word, even = (None if i % 10 == 0 else i * 0.5), ("many" if i % 3 == 0 else f"n{i % 7}"), i % 2 == 0
        lines.append(f"{i},{'' if price is None else price},{stamp},{word},{str(even).lower()}")
        objects.append(json.dumps({"id": i, "price": price, "t": stamp, "s": word, "even": even}))
    (ctx.root / "data/x.csv").write_text("\n".join(lines) + "\n")
    (ctx.root / "data/x.jsonl").write_text("\n".join(objects) + "\n")


def test_the_same_table_has_the_same_profile_in_every_format(ctx: Context) -> None:
    write_sql(ctx.root / "data", {"x.parquet": ROWS})
    as_text(ctx)
    made = {
        form: dataset(ctx, form, path=f"data/x.{form}", timestamp="t", key=["id"]).outputs
        for form in ("parquet", "csv", "jsonl")
    }
    for form, outputs in made.items():
        assert outputs["format"] == form
        assert outputs["files"] == [f"data/x.{form}"]
        assert outputs["rows"] == 1000
        assert outputs["columns"] == {
            "id": "bigint",
            "price": "double",
            "t": "timestamp",
            "s": "varchar",
            "even": "boolean",
        }
        assert outputs["statistics"] == made["parquet"]["statistics"]
    statistics = made["csv"]["statistics"]
    prices = [i * 0.5 for i in range(1, 1001) if i % 10]
    words = Counter("many" if i % 3 == 0 else f"n{i % 7}" for i in range(1, 1001))
    assert statistics["price"] == {
        "nulls": 100, "approx_distinct": statistics["price"]["approx_distinct"], "infinite": 0, "min": 0.5, "max": 499.5, "mean": 250.0,
        "std": pytest.approx(stdev(prices)), "quartiles": [125.25, 250.0, 374.75],
    }  # fmt: skip
    assert statistics["price"]["approx_distinct"] == pytest.approx(900, rel=0.1)
    assert (statistics["t"]["min"], statistics["t"]["max"], statistics["t"]["nulls"]) == (
        "2017-01-01T01:00:30",
        "2017-02-11T16:00:30",
        0,
    )
    assert statistics["s"]["top"][0] == {"value": "many", "count": 333}
    assert [item["count"] for item in statistics["s"]["top"]] == [count for _, count in words.most_common(5)]
    assert statistics["even"]["top"] == [{"value": "false", "count": 500}, {"value": "true", "count": 500}]


def test_nan_is_null_and_infinity_is_counted_apart(ctx: Context) -> None:
    query = "SELECT a::DOUBLE AS a, huge::DOUBLE AS huge FROM (VALUES ('1', 1e308), ('nan', -1e308), ('inf', 1e307), (NULL, 0), ('3', 5)) v(a, huge)"
    write_sql(ctx.root / "data", {"x.parquet": query})
    statistics = dataset(ctx, "d", path="data/x.parquet").outputs["statistics"]
    json.dumps(statistics, allow_nan=False)
    assert statistics["a"] == {
        "nulls": 2,
        "approx_distinct": 3,
        "infinite": 1,
        "min": 1.0,
        "max": 3.0,
        "mean": 2.0,
        "std": pytest.approx(2**0.5),
        "quartiles": [1.5, 2.0, 2.5],
    }
    assert statistics["huge"]["mean"] == pytest.approx(2e306)
    assert statistics["huge"]["std"] == pytest.approx(stdev([1, -1, 0.1, 0, 0]) * 1e308)


def test_several_files_are_one_table(ctx: Context) -> None:
    (ctx.root / "data").mkdir()
    (ctx.root / "data/b.csv").write_text("id,x\n3,2.5\n")
    (ctx.root / "data/a.csv").write_text("id,x\n1,1\n2,\n")
    (ctx.root / "data/c.csv").write_text("id,x\n")
    made = dataset(ctx, "d", path="data", key=["id"])
    assert made.outputs["files"] == ["data/a.csv", "data/b.csv", "data/c.csv"]
    assert (made.outputs["rows"], made.outputs["columns"]) == (3, {"id": "bigint", "x": "double"})
    assert sorted(made.parts) == ["file:data/a.csv", "file:data/b.csv", "file:data/c.csv", "spec"]


def test_the_digest_is_of_content(ctx: Context) -> None:
    (ctx.root / "data").mkdir()
    (ctx.root / "data/a.csv").write_text("id\n1\n")
    first = dataset(ctx, "d", path="data/a.csv").outputs["digest"]
    (ctx.root / "data/a.csv").rename(ctx.root / "data/b.csv")
    moved = dataset(ctx, "d", path="data/b.csv")
    assert moved.outputs["digest"] == first
    (ctx.root / "data/b.csv").write_text("id\n2\n")
    assert dataset(ctx, "d", path="data/b.csv").outputs["digest"] != first


BAD_FILES = {
    "empty.csv": (b"", "data.empty-file", "empty"),
    "ragged.csv": (b"a,b\n1,2\n3\n4,5,6\n", "data.unreadable", "Line: 3"),
    "quote.csv": (b'a,b\n1,"x\n2,y\n', "data.unreadable", "quote"),
    "latin.csv": ("a,b\n1,café\n".encode("latin-1"), "data.not-utf8", "Line: 2"),
    "header.csv": (b"a,a\n1,2\n", "data.bad-header", "a,a"),
    "latin.jsonl": ('{"a":"café"}\n'.encode("latin-1"), "data.not-utf8", "line 2"),
    "torn.jsonl": (b'{"a":1}\n{"a":\n', "data.unreadable", "line"),
    "list.jsonl": (b"[1,2]\n", "data.unreadable", "record"),
    "torn.parquet": (b"PAR1 not really", "data.unreadable", "magic"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_a_bad_file_is_named_with_what_is_wrong(ctx: Context, name: str) -> None:
    raw, code, why = BAD_FILES[name]
    (ctx.root / name).write_bytes(raw)
    problem = refused(ctx, path=name)
    assert problem.code == code
    assert why in problem.why + problem.summary
    assert problem.fix
    if name != "list.jsonl":
        assert name in problem.summary


def test_files_that_do_not_go_together(ctx: Context) -> None:
    write_sql(ctx.root / "data", {"a.parquet": "SELECT 1 AS id, 2.5 AS x", "b.parquet": "SELECT 1 AS id, 'text' AS x"})
    problem = refused(ctx, path="data")
    assert problem.code == "data.files-differ"
    assert "`x` is decimal(2,1) there and varchar here" in problem.why


def test_named_columns_must_be_there_and_fit(ctx: Context) -> None:
    (ctx.root / "x.csv").write_text("id,bought_at,when\n1,01/31/2017,2017-01-31\n")
    with pytest.raises(MlctlError) as caught:
        dataset(ctx, "d", path="x.csv", timestamp="bought_at", key=["idd", "id"])
    missing, wrong = caught.value.diagnostics
    assert (missing.code, missing.fix) == ("data.missing-column", "did you mean `id`?")
    assert wrong.code == "data.wrong-type"
    assert "`bought_at` is varchar" in wrong.summary
    assert "ISO 8601" in wrong.fix
    assert dataset(ctx, "d", path="x.csv", timestamp="when").outputs["columns"]["when"] == "date"


def test_a_table_without_rows_has_a_profile(ctx: Context) -> None:
    (ctx.root / "x.csv").write_text("id,x\n")
    outputs = dataset(ctx, "d", path="x.csv").outputs
    assert (outputs["rows"], outputs["statistics"]["id"]) == (0, {"nulls": 0, "approx_distinct": 0})


def test_a_file_that_changes_under_the_profile_is_not_taken_for_the_old_one(ctx: Context) -> None:
    """The bytes change after the plan and change back later: neither time may the wrong profile come out."""
    (ctx.root / "x.csv").write_text("id\n1\n")
    desired = make_desired(Dataset(), "datasets.d", {"path": "x.csv"}, ctx)
    (ctx.root / "x.csv").write_text("id\n1\n2\n")
    with pytest.raises(MlctlError) as caught:
        Dataset().apply(desired, None, ctx)
    assert caught.value.diagnostics[0].code == "data.changed-while-reading"
    assert job.state(ctx.folder(desired.key)) is job.JobState.ABSENT
    (ctx.root / "x.csv").write_text("id\n1\n")
    assert Dataset().apply(desired, None, ctx).outputs["rows"] == 1


def test_a_file_that_vanishes_is_told(ctx: Context) -> None:
    (ctx.root / "x.csv").write_text("id\n1\n")
    desired = make_desired(Dataset(), "datasets.d", {"path": "x.csv"}, ctx)
    (ctx.root / "x.csv").unlink()
    with pytest.raises(MlctlError) as caught:
        Dataset().apply(desired, None, ctx)
    assert caught.value.diagnostics[0].code == "data.missing-file"
    params = {"files": ["x.csv"], "format": "csv", "timestamp": None, "key": []}
    with pytest.raises(MlctlError) as caught:
        job.run("profile", params, ctx.home / "job", ctx)
    assert caught.value.diagnostics[0].code == "data.missing-file"


def test_progress_is_told_and_a_done_profile_is_not_made_again(tmp_path: Path) -> None:
    plain, told = make_context(tmp_path), []
    ctx = Context(
        plain.root, plain.home, plain.environment, plain.project, plain.lineage, {}, plain.digests, progress=told.append
    )
    (tmp_path / "x.csv").write_text("id,s\n1,a\n")
    first = dataset(ctx, "d", path="x.csv")
    assert [item.message for item in told if isinstance(item, Progress)] == [
        "reading the schema",
        "counting rows and values",
        "mean, deviation and quantiles",
        "most frequent values",
    ]
    told.clear()
    assert dataset(ctx, "d", path="x.csv") == first
    assert told == []
