"""`validate` where there are no secrets, as for a request from a fork: it checks what it can, and says what is not set."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.cli.main import run

VARIABLES = "project: shop\nvariables:\n  token: {type: string, sensitive: true}\n"
DATABASE = 'datasets:\n  orders: {database: {table: orders, type: postgres, url: "postgresql://ann:${var.token}@db.example/shop"}}\n'
WHOLE = DATABASE.replace("postgresql://ann:${var.token}@db.example/shop", "${var.token}")
ENTRY = 'datasets:\n  orders: {database: {table: orders, type: postgres, url: "host=db.example password=${env.DB_PASSWORD}"}}\n'
EVENTS = """\
feature_store: {online: {type: redis, url: "${env.STORE_SECRET_URL}"}, registry: {type: sql, url: "${env.STORE_SECRET_URL}"}}
datasets:
  trips: {path: trips.csv, timestamp: at, key: [trip_id]}
entities:
  user: {key: user_id}
feature_views:
  activity: {entity: user, source: trips, grid: 1m, ttl: 1h, online: true, features: {n: {aggregate: count, window: 30m}}}
streams:
  live: {view: activity, topic: trips, broker: {type: redis, url: "${env.STORE_SECRET_URL}"}}
"""


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("MLCTL_VAR_token", "DB_PASSWORD", "STORE_SECRET_URL"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "mlctl.yaml").write_text(VARIABLES + DATABASE)
    (tmp_path / "trips.csv").write_text("trip_id,user_id,at\n")
    return tmp_path


@pytest.mark.parametrize("given", [None, ""])
@pytest.mark.parametrize(
    ("blocks", "name"), [(DATABASE, "token"), (WHOLE, "token"), (ENTRY, "DB_PASSWORD"), (EVENTS, "STORE_SECRET_URL")]
)
def test_a_secret_that_is_not_set_or_empty_is_a_warning_of_validate(
    project: Path,
    given: str | None,
    blocks: str,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    if given is not None:
        monkeypatch.setenv("MLCTL_VAR_token", given)
        monkeypatch.setenv("DB_PASSWORD", given)
        monkeypatch.setenv("STORE_SECRET_URL", given)
    (project / "mlctl.yaml").write_text(VARIABLES + blocks)
    code = run(["validate"])
    said = capsys.readouterr()
    assert code == 0, said.err
    assert "warning[spec.missing-value]" in said.err
    assert name in said.err
    assert "error" not in said.err


def test_it_is_a_warning_of_every_environment_and_in_sarif_too(
    project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (project / "mlctl.yaml").write_text(VARIABLES + DATABASE + "environments:\n  dev: {}\n  prod: {}\n")
    assert run(["validate"]) == 0
    capsys.readouterr()
    assert run(["validate", "--sarif"]) == 0
    [result] = json.loads(capsys.readouterr().out)["runs"][0]["results"]
    assert (result["ruleId"], result["level"]) == ("spec.missing-value", "warning")


@pytest.mark.parametrize("command", [["plan"], ["apply", "-y"]])
def test_what_makes_something_still_refuses_without_it(
    project: Path, command: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(command) == 1
    assert "error[spec.missing-value]: the variable `token` has no value" in capsys.readouterr().err


def test_other_mistakes_stay_errors(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (project / "mlctl.yaml").write_text(VARIABLES + DATABASE + "  more: {pth: x.csv}\n")
    assert run(["validate"]) == 1
    assert "pth" in capsys.readouterr().err


def test_a_secret_that_is_set_and_too_short_stays_an_error(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MLCTL_VAR_token", "x")
    assert run(["validate"]) == 1
    assert "spec.short-secret" in capsys.readouterr().err
