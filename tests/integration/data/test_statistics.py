"""Profiles of real files against Python's own figures: every type, frozen bins that count right, wide and odd tables."""

import json
import math
from pathlib import Path
from statistics import mean, quantiles, stdev
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.local.contract import contract_of
from mlctl.providers.local.profile import read_profile, remarks
from mlctl.testing.harness import make_context
from mlctl.types.state import Record
from tests.integration.data.helpers import dataset, run_python, write_sql

pytestmark = pytest.mark.tools

TYPES = """
    SELECT i AS id, i * 1.5::DOUBLE AS price, (i / 4)::DECIMAL(9,2) AS money, DATE '2024-01-01' + i::INTEGER AS day,
        TIMESTAMP '2024-01-01 00:00:00' + to_hours(i) AS at, (TIMESTAMP '2024-01-01' + to_hours(i))::TIMESTAMPTZ AS zoned,
        ['Zürich', '東京', 'Łódź'][1 + (i % 3)::INTEGER] AS "città", i % 2 = 0 AS even, {'a': i % 2, 'b': [1]} AS nest,
        CASE i % 4 WHEN 0 THEN 'nan'::DOUBLE WHEN 1 THEN 'inf'::DOUBLE ELSE i END AS odd, NULL::INTEGER AS nothing, (i % 5)::TINYINT AS few
    FROM range(100) r(i)
"""


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


def profiled(ctx: Context, query: str) -> tuple[Record, dict[str, dict[str, Any]]]:
    write_sql(ctx.root / "data", {"x.parquet": query})
    made = dataset(ctx, "d", path="data/x.parquet")
    return made, {column["name"]: column for column in read_profile(made, ctx)["columns"]}


def test_every_type_has_its_figures(ctx: Context) -> None:
    made, columns = profiled(ctx, TYPES)
    assert list(columns) == [
        "id",
        "price",
        "money",
        "day",
        "at",
        "zoned",
        "città",
        "even",
        "nest",
        "odd",
        "nothing",
        "few",
    ]
    prices = [i * 1.5 for i in range(100)]
    assert columns["price"]["mean"] == mean(prices)
    assert columns["price"]["std"] == pytest.approx(stdev(prices))
    quarters = quantiles(prices, n=4, method="inclusive")
    assert [columns["price"]["quantiles"][level] for level in ("0.25", "0.5", "0.75")] == pytest.approx(quarters)
    assert columns["price"]["quantile_rows"] == 100
    assert (columns["money"]["min"], columns["money"]["max"]) == (0.0, 24.75)
    assert (columns["day"]["min"], columns["day"]["max"]) == ("2024-01-01", "2024-04-09")
    assert columns["at"]["mean"] == "2024-01-03T01:30:00"
    assert columns["at"]["std"] == pytest.approx(3600 * stdev(range(100)))
    assert [item["value"] for item in columns["città"]["top"]] == ["Zürich", "Łódź", "東京"]
    assert columns["nest"]["top"] == [
        {"value": '{"a":0,"b":[1]}', "count": 50},
        {"value": '{"a":1,"b":[1]}', "count": 50},
    ]
    assert (columns["odd"]["nulls"], columns["odd"]["infinite"], columns["odd"]["max"]) == (25, 25, 99.0)
    assert (columns["nothing"]["nulls"], columns["nothing"]["bins"], columns["nothing"]["histogram"]) == (
        100,
        None,
        None,
    )
    json.dumps(read_profile(made, ctx), allow_nan=False)


def test_frozen_bins_count_every_row_once(ctx: Context) -> None:
    _, columns = profiled(ctx, TYPES)
    for name, column in columns.items():
        bins = column["bins"]
        if bins is not None:
            assert sum(bins["counts"]) + bins.get("other", 0) + bins["nulls"] == 100, name
        if bins is not None and bins["kind"] == "numeric" and name != "odd":
            assert (bins["counts"][0], bins["counts"][-1]) == (0, 0), name
            assert len(bins["edges"]) == (6 if name == "few" else 11), name
    assert columns["few"]["bins"] == {"kind": "numeric", "edges": [0, 1, 2, 3, 4, 5], "counts": [0, 20, 20, 20, 20, 20, 0], "nulls": 0}  # fmt: skip
    assert columns["odd"]["bins"]["counts"][-1] == 25  # infinite values lie above all others
    assert columns["even"]["bins"]["values"] == ["false", "true"]
    edges = columns["price"]["bins"]["edges"]
    below = [sum(i * 1.5 < edge for i in range(100)) for edge in edges]
    assert columns["price"]["bins"]["counts"] == [
        high - low for low, high in zip([0, *below], [*below, 100], strict=True)
    ]


def test_histograms_count_what_lies_in_each_bar(ctx: Context) -> None:
    query = "SELECT CASE WHEN i = 0 THEN NULL WHEN i < 301 THEN i % 30 ELSE 100000 END AS a, i % 7 AS b FROM range(302) r(i)"
    _, columns = profiled(ctx, query)
    shown = columns["b"]["histogram"]
    assert (shown["low"], shown["high"], len(shown["counts"])) == (0.0, 7.0, 7)
    assert sum(shown["counts"]) == 302
    far = columns["a"]["histogram"]  # one far value is said, and does not leave the rest one bar wide
    assert (sum(far["counts"]), far["below"], far["above"]) == (300, 0, 1)
    assert far["high"] <= 31
    assert max(far["counts"]) <= 20


def test_large_tables_give_quantiles_of_a_fixed_choice(ctx: Context) -> None:
    _, first = profiled(ctx, "SELECT i::DOUBLE AS a, (i % 3)::VARCHAR AS s FROM range(2500000) r(i)")
    column = first["a"]
    assert 700_000 < column["quantile_rows"] < 1_000_000
    assert column["quantiles"]["0.5"] == pytest.approx(1_250_000, rel=5e-3)
    assert (column["min"], column["max"], sum(column["bins"]["counts"])) == (0.0, 2499999.0, 2_500_000)
    assert first["s"]["bins"]["counts"] == [833334, 833333, 833333]
    (ctx.root / "data/x.parquet").unlink()
    again = make_context(ctx.root / "again")
    assert profiled(again, "SELECT i::DOUBLE AS a, (i % 3)::VARCHAR AS s FROM range(2500000) r(i)")[1] == first


def test_what_is_worth_a_look_is_said(ctx: Context) -> None:
    query = """SELECT i AS key, 7 AS same, CASE WHEN i = 3 THEN 1 END AS rare, exp((hash(i) % 1000) / 80.0) AS tail, i % 10 AS fine,
        CASE WHEN i = 5 THEN 1e9 ELSE hash(i) % 100 END AS far, CASE WHEN i = 9 THEN 'b' ELSE 'a' END AS almost, NULL::VARCHAR AS nothing
        FROM range(1000) r(i)"""
    made, _ = profiled(ctx, query)
    found = {(item.column, item.code) for item in remarks(read_profile(made, ctx))}
    assert found == {
        ("key", "unique"), ("same", "constant"), ("rare", "many-nulls"), ("rare", "constant"), ("tail", "skew"), ("tail", "far-values"),
        ("far", "far-values"), ("almost", "nearly-constant"), ("nothing", "all-null"),
    }  # fmt: skip


def test_a_contract_freezes_columns_types_and_bins(ctx: Context) -> None:
    made, columns = profiled(ctx, TYPES)
    contract = contract_of(made, read_profile(made, ctx))
    assert (contract.dataset, contract.rows, contract.digest) == ("d", 100, made.digest)
    assert [column.name for column in contract.columns] == list(columns)
    found = contract.column("price")
    assert found is not None
    assert found.bins is not None
    assert found.bins.model_dump(mode="json") == columns["price"]["bins"]


@pytest.mark.soak
def test_a_table_of_ten_thousand_columns_is_profiled_and_the_state_stays_small(ctx: Context) -> None:
    code = (
        "import pyarrow as pa, pyarrow.parquet as pq, sys\n"
        "kinds = [[1.5, 2.5, None], [1, 2, 3], ['a', 'b', 'b'], [True, None, False]]\n"
        "pq.write_table(pa.table({f'c{i}': kinds[i % 4] for i in range(10_000)}), sys.argv[1])"
    )
    run_python(code, str(ctx.root / "wide.parquet"))
    made = dataset(ctx, "wide", path="wide.parquet")
    columns = read_profile(made, ctx)["columns"]
    assert len(columns) == 10_000
    assert made.outputs["statistics"] == {}
    assert (columns[9996]["name"], columns[9996]["mean"], columns[9996]["nulls"]) == ("c9996", 2.0, 1)
    assert columns[9998]["bins"] == {
        "kind": "categorical",
        "values": ["b", "a"],
        "counts": [2, 1],
        "other": 0,
        "nulls": 0,
    }
    assert all(column["bins"] is not None for column in columns)
    assert not any(math.isnan(column["mean"] or 0) for column in columns)


def test_a_text_file_of_many_columns_is_parsed_once_and_counts_the_same(tmp_path: Path) -> None:
    """Every type that a text file can have comes through the copy that stands in for it; so do nulls and numbers beyond a double."""
    told = run_python(STAGED, str(tmp_path))
    (direct, rows), (copied, same_rows), source = json.loads(told)
    assert "read_parquet" in source
    assert "read_csv" not in source
    assert (copied, same_rows) == (direct, rows)
    assert direct["big"]["max"] == 2**100
    assert direct["c19"]["nulls"] == 1


STAGED = """
import json, sys
from pathlib import Path
from mlctl.runtime.profile.database import database
from mlctl.runtime.profile.source import detect, relation, staged
from mlctl.runtime.profile.statistics import compute
from mlctl.types.jobs.profile import Source
folder = Path(sys.argv[1])
few = {"t": "a,\\"b\\"", "at": "2024-01-01T00:00:00", "day": "2024-01-02", "yes": "true", "x": "inf", "clock": "10:00:00", "Ł": "Łódź"}
names = [*few, "big", *(f"c{i}" for i in range(20))]
quoted = ['"' + value.replace('"', '""') + '"' for value in few.values()]
lines = [",".join(names), ",".join([*quoted, str(2**100), *"1" * 20]), ",".join([*quoted, "7", *"2" * 19, ""])]
(folder / "w.csv").write_text("\\n".join(lines) + "\\n")
with database(folder) as connection:
    columns = detect(connection, [str(folder / "w.csv")], "csv") | {"big": "hugeint"}
    source = Source(files=[str(folder / "w.csv")], format="csv", columns=columns)
    table = staged(connection, source, folder)
    found = [compute(connection, item, columns, lambda *_: None)[::-1] for item in (relation(source), table)]
    print(json.dumps([*found, table]))
assert not (folder / "spill").exists()
"""
