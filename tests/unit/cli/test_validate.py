"""What `validate` and `plan` tell of a project that has no errors, yet something to warn of."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.cli.main import run

PROJECT = """\
project: shop
datasets:
  orders: {path: orders.csv}
data_checks:
  orders_ok:
    dataset: orders
    rules: [{schema_drift: {}}]
"""
ENVIRONMENTS = "environments:\n  dev: {}\n  prod: {}\n"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A check that compares with a contract which nobody has recorded yet."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mlctl.yaml").write_text(PROJECT)
    (tmp_path / "orders.csv").write_text("id\n1\n")
    return tmp_path


def test_validate_tells_warnings_and_succeeds(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate"]) == 0
    said = capsys.readouterr()
    assert "warning[data.no-contract]: no contract is recorded in `contracts/orders.json` yet" in said.err
    assert said.out == "shop: 2 resources, 1 warning\n"


def test_a_warning_of_every_environment_is_told_once(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlctl.yaml").write_text(PROJECT + ENVIRONMENTS)
    assert run(["validate"]) == 0
    said = capsys.readouterr()
    assert said.err.count("data.no-contract") == 1
    assert said.out == "shop: 2 resources in dev, 1 warning\nshop: 2 resources in prod, 1 warning\n"


def test_warnings_stand_in_json_and_in_sarif(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["validate", "--json"]) == 0
    warning, valid = map(json.loads, capsys.readouterr().out.splitlines())
    assert (warning["type"], warning["severity"], warning["address"]) == (
        "diagnostic",
        "warning",
        "data_checks.orders_ok",
    )
    assert valid["type"] == "valid"
    assert run(["validate", "--sarif"]) == 0
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("data.no-contract", "warning")


def test_plan_tells_warnings_and_a_removal_does_not(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["plan"]) == 0
    assert "warning[data.no-contract]" in capsys.readouterr().err
    assert run(["plan", "--json"]) == 0
    assert '"code": "data.no-contract"' in capsys.readouterr().out
    assert run(["plan", "--destroy"]) == 0
    assert capsys.readouterr().err == ""
