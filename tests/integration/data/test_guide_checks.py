"""The blocks of the guide on data checks are a valid project, and every rule that it lists holds of data that is good."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.types.jobs.checks import SHORT_RULES
from mlctl.types.jobs.contract import CategoricalBins, ContractColumn, DataContract, NumericBins
from tests.integration.data.helpers import write_sql

pytestmark = pytest.mark.tools

GUIDE = Path(__file__).parents[3] / "docs" / "guides" / "data-checks.md"
HEAD = """
project: guide
datasets:
  orders: {path: data/orders.parquet, key: [order_id], timestamp: ordered_at}
  users: {path: data/users.parquet, key: [user_id]}
"""
ORDERS = """
    SELECT i AS order_id, i % 100 AS user_id, CASE WHEN i % 100 > 0 THEN 18 + i % 60 END AS age, (1 + i % 40)::DOUBLE AS price,
        now()::TIMESTAMP - to_minutes(60 + i::INTEGER) AS ordered_at, ['new', 'paid', 'sent'][(i % 3 + 1)::INTEGER] AS status,
        'u' || i || '@example.com' AS email, 'DE' AS country
    FROM range(2000) AS r(i)
"""
USERS = "SELECT u AS user_id, TIMESTAMP '2020-01-01' AS joined_at FROM range(100) AS r(u)"
BINS = {
    "price": NumericBins(edges=[11.0, 21.0, 31.0, 41.0], counts=[500, 500, 500, 500, 0], nulls=0),
    "status": CategoricalBins(values=["new", "paid", "sent"], counts=[667, 667, 666], other=0, nulls=0),
}
TYPES = {
    "order_id": "integer", "user_id": "bigint", "age": "bigint", "price": "double", "ordered_at": "timestamp", "status": "varchar", "email": "varchar",
}  # fmt: skip


def mlctl(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("mlctl")), *arguments]
    return subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    blocks = re.findall(r"```yaml\ndata_checks:\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    (tmp_path / "mlctl.yaml").write_text(HEAD + "data_checks:\n" + "".join(blocks))
    write_sql(tmp_path / "data", {"orders.parquet": ORDERS, "users.parquet": USERS})
    columns = [ContractColumn(name=name, type=found, bins=BINS.get(name)) for name, found in TYPES.items()]
    made = DataContract(dataset="orders", digest="x", recorded_at="2026-01-01T00:00:00Z", rows=1500, columns=columns)
    (tmp_path / "contracts").mkdir()
    (tmp_path / "contracts" / "orders.json").write_text(made.model_dump_json())
    return tmp_path


def test_every_rule_of_the_guide_holds_of_good_data(project: Path) -> None:
    done = mlctl(project, "validate")
    assert done.returncode == 0, done.stdout + done.stderr
    done = mlctl(project, "apply", "--auto-approve")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "gate data_checks.orders_ok: passed, 19 rules passed" in done.stdout
    assert "gate data_checks.large_ok: passed, 1 rule passed" in done.stdout
    [report] = project.glob(".mlctl/*/objects/data_checks.orders_ok/*/report.json")
    named = {rule["rule"] for rule in json.loads(report.read_text())["rules"]}
    assert named == {*SHORT_RULES, "expect_column_median_to_be_between"}


def test_the_guide_tells_of_every_rule() -> None:
    told = set(re.findall(r"^\| `(\w+)` \|", GUIDE.read_text(), re.MULTILINE))
    assert set(SHORT_RULES) <= told
