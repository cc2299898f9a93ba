"""`mlctl data contract` by the real program: record, compare, carry rules to Great Expectations and back."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests import nursery
from tests.integration.data.helpers import write_sql
from tests.scenarios.runner import MLCTL

pytestmark = pytest.mark.tools

PROJECT = r"""
project: shop
datasets:
  orders: {path: data/orders.parquet, key: [id]}
  users: {path: data/users.parquet, key: [user_id]}
data_checks:
  orders_ok:
    dataset: orders
    engine: great_expectations
    rules:
      - not_null: {columns: [id, code]}
      - range: {column: price, min: 0, max: 100, max_ratio: 50%}
      - unique: {columns: [id]}
      - unique: {columns: [id, code]}
      - regex: {column: code, pattern: 'c\d'}
      - set: {column: code, values: [c0, c1]}
      - length: {column: code, max: 2}
      - row_count: {min: 1}
      - outliers: {columns: [price]}
      - schema: {columns: {id: bigint}}
      - foreign_key: {column: id, references: users.user_id}
      - schema_drift: {severity: warn}
"""
ORDERS = "SELECT i AS id, i * 1.5::DOUBLE AS price, 'c' || (i % {0}) AS code FROM range(1, {1}) AS r(i)"

LOADED = """
__file__ = "-c"  # pyspark ends a program without a file
import json, sys
import duckdb, great_expectations as gx
suite = gx.ExpectationSuite(**json.load(open("suite.json")))
context = gx.get_context(mode="ephemeral")
context.variables.progress_bars = {"globally": False}
asset = context.data_sources.add_pandas("data").add_dataframe_asset("table")
frame = duckdb.sql("FROM 'data/orders.parquet'").df()
batch = asset.add_batch_definition_whole_dataframe("all").get_batch(batch_parameters={"dataframe": frame})
results = batch.validate(context.suites.add(suite))
found = sorted((item.expectation_config.type, bool(item.success)) for item in results.results)
json.dump(context.suites.get("orders_ok").to_json_dict(), open("back.json", "w"))
json.dump(found, open("found.json", "w"))
"""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("project")
    (root / "mlctl.yaml").write_text(PROJECT)
    users = "SELECT u AS user_id FROM range(1, 50) AS r(u)"
    write_sql(root / "data", {"orders.parquet": ORDERS.format(3, 101), "users.parquet": users})
    mlctl(root, "apply", "--yes", "-t", "datasets.orders")
    return root


def mlctl(root: Path, *arguments: str, code: int = 0) -> str:
    done = nursery.mlctl("-C", str(root), *arguments, folder=root)
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout


def test_a_contract_is_recorded_once_and_says_what_would_change(project: Path) -> None:
    assert "new: 100 rows, 3 columns" in mlctl(project, "data", "contract", "record", "orders", "--check", code=2)
    assert not (project / "contracts").exists()
    [line] = mlctl(project, "data", "contract", "record", "orders", "--json").splitlines()
    assert json.loads(line) == {
        "type": "contract_recorded", "dataset": "orders", "file": "contracts/orders.json", "written": True,
        "changes": ["new: 100 rows, 3 columns"],
    }  # fmt: skip
    text = (project / "contracts" / "orders.json").read_text()
    assert "up to date" in mlctl(project, "data", "contract", "record", "orders", "--check")
    mlctl(project, "data", "contract", "record", "orders")
    assert (project / "contracts" / "orders.json").read_text() == text  # not even the moment of recording
    write_sql(project / "data", {"orders.parquet": f"SELECT *, 1 AS more FROM ({ORDERS.format(2, 91)})"})
    mlctl(project, "apply", "--yes", "-t", "datasets.orders")
    said = mlctl(project, "data", "contract", "record", "orders", "--check", code=2)
    assert "rows: 100 -> 90" in said
    assert "+ more integer" in said
    assert "~ code: its distribution" in said
    assert "code" in mlctl(project, "data", "contract", "show", "orders")
    write_sql(project / "data", {"orders.parquet": ORDERS.format(3, 101)})
    mlctl(project, "apply", "--yes", "-t", "datasets.orders")


def test_a_suite_loads_and_runs_in_the_library_and_comes_back_the_same(project: Path) -> None:
    mlctl(project, "data", "contract", "export", "orders_ok", "--out", str(project / "suite.json"))
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, cwd=project)
    assert done.returncode == 0, done.stderr
    found = json.loads((project / "found.json").read_text())
    assert len(found) == 11
    assert [name for name, passed in found if not passed] == ["expect_column_values_to_be_in_set"]
    one, other = (
        json.loads(mlctl(project, "data", "contract", "import", str(project / name), "--json"))
        for name in ("suite.json", "back.json")
    )
    assert one == other
    assert not one["left_out"]
    mlctl(project, "data", "contract", "import", "back.json", "--write", "imported.yaml")
    (project / "two.yaml").write_text("include: [imported.yaml]\n" + PROJECT)
    exported = [
        json.loads(mlctl(project, "-f", "two.yaml", "data", "contract", "export", name))["meta"]["mlctl"]["rules"]
        for name in ("orders_ok", "orders_imported")
    ]
    assert exported[0] == exported[1]
    said = subprocess.run(
        [
            str(MLCTL),
            "-C",
            str(project),
            "data",
            "contract",
            "import",
            str(project / "back.json"),
            "--write",
            "imported.yaml",
        ],
        capture_output=True,
        text=True,
    )
    assert said.returncode == 1
    assert "exists already" in said.stderr


def test_sodas_checks_are_taken_or_listed(project: Path) -> None:
    (project / "soda.yml").write_text(
        "checks for orders:\n  - row_count > 0\n  - missing_count(id) = 0\n  - anomaly score for row_count\n"
    )
    said = mlctl(project, "data", "contract", "import", str(project / "soda.yml"))
    assert "orders_imported:" in said
    assert "# left out: anomaly score for row_count: " in said
    refused = subprocess.run(
        [str(MLCTL), "-C", str(project), "data", "contract", "import", str(project / "soda.yml"), "--dataset", "order"],
        capture_output=True, text=True,
    )  # fmt: skip
    assert refused.returncode == 1
    assert "did you mean `orders`" in refused.stderr


def test_the_check_runs_by_the_engine_that_the_project_names(project: Path) -> None:
    mlctl(project, "data", "contract", "record", "orders")
    lines = [json.loads(line) for line in mlctl(project, "data", "check", "--json", code=3).splitlines()]
    [check] = [line for line in lines if line["type"] == "data_check"]
    assert check["gate"]["summary"] == "2 of 12 rules failed"
    failed = {rule["rule"]: rule.get("failing_rows") for rule in check["rules"] if not rule["passed"]}
    assert failed == {"set": 33, "foreign_key": 51}
