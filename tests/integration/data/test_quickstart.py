"""The quickstart's data: made from the real purchases, the same every time, and good enough for its own checks."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.provider import Context
from mlctl.providers.great_expectations.data_check import DataCheck
from mlctl.providers.local.dataset import Dataset
from mlctl.testing.harness import apply_once, make_context
from mlctl.types.state import Record
from tests.integration.data.helpers import run_python

pytestmark = pytest.mark.tools

QUICKSTART = Path(__file__).parents[3] / "specs" / "quickstart"


def prepare(project: Path) -> str:
    return subprocess.run([sys.executable, project / "prepare.py"], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("quickstart")
    for name in ("mlctl.yaml", "prepare.py"):
        shutil.copy(QUICKSTART / name, root / name)
    prepare(root)
    return root


@pytest.fixture(scope="module")
def ctx(project: Path) -> Context:
    return make_context(project)


@pytest.fixture(scope="module")
def spec(project: Path) -> Any:
    return yaml.safe_load((project / "mlctl.yaml").read_text())


@pytest.fixture(scope="module")
def datasets(ctx: Context, spec: Any) -> dict[str, Record]:
    return {name: apply_once(Dataset(), f"datasets.{name}", block, ctx) for name, block in spec["datasets"].items()}


def test_preparing_again_leaves_the_files_alone(project: Path) -> None:
    files = sorted((project / "data").iterdir())
    assert [file.name for file in files] == [
        "households.parquet",
        "labels.parquet",
        "labels_holdout.parquet",
        "purchases.parquet",
    ]
    before = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    (project / "data" / "labels.parquet").write_bytes(b"spoilt")
    said = prepare(project)
    assert said.count("unchanged") == 3
    after = [(file.stat().st_ino, file.stat().st_mtime_ns) for file in files]
    assert [old == new for old, new in zip(before, after, strict=True)] == [True, False, True, True]
    assert (project / "data" / "labels.parquet").read_bytes()[:4] == b"PAR1"
    assert sorted((project / "data").iterdir()) == files


def test_the_labels_are_true_and_leak_nothing(project: Path) -> None:
    """Against a second way to say it, row by row; and the time spans stated in prepare.py."""
    code = """
import duckdb, json, sys
c = duckdb.connect()
c.execute("SET enable_progress_bar = false")
for name in ("purchases", "labels", "labels_holdout", "households"):
    c.execute(f"CREATE VIEW {name} AS SELECT * FROM '{sys.argv[1]}/{name}.parquet'")
both = "(SELECT * FROM labels UNION ALL SELECT * FROM labels_holdout)"
one = lambda query: c.execute(query).fetchone()[0]
window = "p.household_id = l.household_id AND purchased_at >= event_timestamp AND purchased_at < event_timestamp + INTERVAL 7 DAY"
print(json.dumps({
    "rows": one(f"SELECT count(*) FROM {both}"),
    "wrong": one(f"SELECT count(*) FROM {both} l WHERE shops <> CASE WHEN EXISTS (SELECT 1 FROM purchases p WHERE {window}) THEN 1 ELSE 0 END"),
    "unknown": one(f"SELECT count(*) FROM {both} l WHERE NOT EXISTS (SELECT 1 FROM purchases p WHERE p.household_id = l.household_id AND purchased_at < event_timestamp)"),
    "mondays": one(f"SELECT bool_and(isodow(event_timestamp) = 1 AND event_timestamp = date_trunc('day', event_timestamp)) FROM {both}"),
    "history_days": one("SELECT date_diff('day', (SELECT min(purchased_at) FROM purchases), min(event_timestamp)) FROM labels"),
    "gap_days": one("SELECT date_diff('day', (SELECT max(event_timestamp) + INTERVAL 7 DAY FROM labels), min(event_timestamp)) FROM labels_holdout"),
    "horizon_ends": one("SELECT max(event_timestamp) + INTERVAL 7 DAY <= (SELECT max(purchased_at) FROM purchases) FROM labels_holdout"),
    "households": one("SELECT count(*) = count(DISTINCT household_id) AND count(*) = (SELECT count(DISTINCT household_id) FROM purchases) FROM households"),
}))
"""
    found = json.loads(run_python(code, str(project / "data")))
    assert found.pop("rows") > 100_000
    assert found.pop("history_days") >= 30
    assert found == {"wrong": 0, "unknown": 0, "mondays": True, "gap_days": 7, "horizon_ends": True, "households": True}


def test_the_datasets(datasets: dict[str, Record]) -> None:
    purchases = datasets["purchases"].outputs
    assert purchases["rows"] == 1_469_307
    assert purchases["statistics"]["purchase_id"]["nulls"] == 0
    assert (purchases["statistics"]["purchase_id"]["min"], purchases["statistics"]["purchase_id"]["max"]) == (
        1,
        1_469_307,
    )
    assert purchases["statistics"]["sales_value"]["max"] == 840
    rate = datasets["labels"].outputs["statistics"]["shops"]["mean"]
    assert 0.5 < rate < 0.6


def test_the_real_data_passes_its_checks(ctx: Context, spec: Any, datasets: dict[str, Record]) -> None:
    for name, block in spec["data_checks"].items():
        kind = DataCheck()
        made = kind.spec.model_validate(block)
        assert kind.check(made, ctx) == []
        needed = {f"datasets.{block['dataset']}", *(str(link.address) for link in made.links())}
        inputs = {str(item.key.address): item for item in datasets.values() if str(item.key.address) in needed}
        record = apply_once(kind, f"data_checks.{name}", block, ctx, inputs)
        assert record.gate is not None
        assert record.gate.passed, record.gate
        assert record.outputs["rows"] == datasets[block["dataset"]].outputs["rows"]
