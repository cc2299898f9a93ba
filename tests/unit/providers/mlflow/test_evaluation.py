from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Condition
from mlctl.providers.mlflow.evaluation import Evaluation
from mlctl.providers.mlflow.registry import aliased_version
from mlctl.providers.mlflow.settings import Tracking
from mlctl.providers.mlflow.spec import EvaluationSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import Severity
from mlctl.types.job import JOB_FILE, RESULT_FILE, JobResult, JobStatus
from mlctl.types.state import Record

VALUES: dict[str, Any] = {
    "model": "${training.m.model}",
    "dataset": "holdout",
    "require": {"roc_auc": {"min": 0.7, "not_worse_than": "champion", "margin": 0.002}, "log_loss": {"max": 0.65}},
    "register": {"name": "shops", "alias": "champion"},
}


LANGUAGE: dict[str, Any] = {
    **VALUES,
    "require": {
        "loss": {"better_than": "base", "margin": 0.2},
        "perplexity": {"max": 20, "not_worse_than": "champion", "better_than": "base"},
        "exact_match": {"min": 0.1},
    },
    "generation": {"max_new_tokens": 32, "documents": 50},
}


def test_bars_of_a_language_model_are_fine(tmp_path: Path) -> None:
    assert Evaluation().check(EvaluationSpec.model_validate(LANGUAGE), make_context(tmp_path)) == []


def test_an_alias_that_no_bar_holds_against_its_holder_is_warned_of(tmp_path: Path) -> None:
    bars = {"loss": {"better_than": "base"}, "token_f1": {"min": 0.2}}
    ((code, severity, path),) = [
        (item.code, item.severity, item.path)
        for item in Evaluation().check(
            EvaluationSpec.model_validate({**VALUES, "require": bars}), make_context(tmp_path)
        )
    ]
    assert (code, severity, path) == ("eval.champion-unheld", Severity.WARNING, ("register", "alias"))


def test_an_evaluation_without_an_alias_needs_no_champion(tmp_path: Path) -> None:
    plain = {name: value for name, value in VALUES.items() if name != "register"} | {
        "require": {"roc_auc": {"min": 0.7}}
    }
    assert Evaluation().check(EvaluationSpec.model_validate(plain), make_context(tmp_path)) == []


def test_it_provides_the_model_it_registers() -> None:
    assert list(EvaluationSpec.model_validate(VALUES).provides()) == ["model:shops@champion"]


def test_its_fields_are_dumped_under_the_names_they_are_written_by() -> None:
    dumped = EvaluationSpec.model_validate(VALUES).model_dump(mode="json", exclude_defaults=True)
    assert dumped == VALUES
    assert EvaluationSpec.model_validate(dumped) == EvaluationSpec.model_validate(VALUES)


def test_the_spec_of_the_quickstart_is_fine(tmp_path: Path) -> None:
    assert Evaluation().check(EvaluationSpec.model_validate(VALUES), make_context(tmp_path)) == []


def test_a_dataset_that_a_model_is_trained_on_does_not_judge_it(tmp_path: Path) -> None:
    gate, training = Address("evaluations", "gate"), Address("training", "m")
    trained = SimpleNamespace(data=SimpleNamespace(labels="holdout"))
    specs = {gate: EvaluationSpec.model_validate(VALUES), training: trained}
    uses = {gate: {training, Address("datasets", "holdout")}, training: set()}
    ((blamed, found),) = Evaluation().check_together(specs, uses, make_context(tmp_path))
    assert (blamed, found.code, found.path) == (gate, "eval.leakage", ("dataset",))
    trained.data.labels = "train"
    assert list(Evaluation().check_together(specs, uses, make_context(tmp_path))) == []


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"model": "models/m"}, "eval.not-a-training"),
        ({"model": "${training.m.digest}"}, "eval.not-a-training"),
        ({"require": {"roc_acu": {"min": 0.7}}}, "eval.unknown-metric"),
        ({"require": {"roc_auc": {}}}, "eval.empty-bar"),
        ({"require": {"roc_auc": {"min": 0.7, "margin": 0.1}}}, "eval.margin-unused"),
        ({"require": {"roc_auc": {"min": 70}}}, "eval.impossible-bar"),
        ({"require": {"rmse": {"min": 2, "max": 1}}}, "eval.impossible-bar"),
        ({"require": {"rmse": {"max": 1}, "f1": {"min": 0.2}}}, "eval.mixed-metrics"),
        ({"register": None}, "eval.no-champion"),
        ({"require": {"roc_auc": {"better_than": "base"}}}, "eval.no-base"),
        ({"require": {"loss": {"max": 2}, "rmse": {"max": 1}}}, "eval.mixed-metrics"),
        ({"require": {"token_f1": {"min": 60}}}, "eval.impossible-bar"),
        ({"require": {"loss": {"max": 2}}, "generation": {"max_new_tokens": 8}}, "eval.generation-unused"),
        (
            {"require": {"loss": {"not_worse_than": "champion", "better_than": "base", "margin": 0.1}}},
            "eval.margin-unclear",
        ),
    ],
)
def test_a_bar_without_effect_or_beyond_reach_is_refused(tmp_path: Path, changed: dict[str, Any], code: str) -> None:
    spec = EvaluationSpec.model_validate({**VALUES, **changed})
    assert [item.code for item in Evaluation().check(spec, make_context(tmp_path))] == [code]


def test_an_unknown_metric_is_answered_with_the_nearest(tmp_path: Path) -> None:
    spec = EvaluationSpec.model_validate({**VALUES, "require": {"roc_acu": {"min": 0.7}}})
    (found,) = Evaluation().check(spec, make_context(tmp_path))
    assert (found.fix, found.path) == ("did you mean `roc_auc`?", ("require", "roc_acu"))


@pytest.mark.parametrize("alias", ["latest", "v3", "1st", ""])
def test_aliases_that_mlflow_keeps_for_itself_are_refused(alias: str) -> None:
    with pytest.raises(ValidationError, match="alias"):
        EvaluationSpec.model_validate({**VALUES, "register": {"name": "shops", "alias": alias}})


def test_a_result_that_no_server_can_read_any_more_is_made_again(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    key = ObjectKey.parse("evaluations.gate#1")
    folder = ctx.folder(key)
    folder.mkdir(parents=True)
    (folder / JOB_FILE).write_text("{}")
    (folder / RESULT_FILE).write_text(json.dumps(JobResult(JobStatus.DONE).to_json()))
    before: dict[str, Any] = {"columns": ["a"], "join_key": "user", "views": [{"view": "v", "features": ["a"]}]}
    now = {**before, "views": [], "keys": [], "join_key": None}  # of a model without views 0.1 wrote no key
    seen = [Evaluation().read(Record(key, "m/1", outputs={"serving": item}), ctx) for item in (before, now)]
    assert [item and item.condition for item in seen] == [Condition.BROKEN, Condition.READY]


def test_no_bars_are_no_gate() -> None:
    with pytest.raises(ValidationError, match="at least 1"):
        EvaluationSpec.model_validate({**VALUES, "require": {}})


@pytest.mark.parametrize(
    "uri", ["sqlite:///.mlctl/mlflow.db", "sqlite:////srv/m.db", "http://127.0.0.1:5000", "https://t.example"]
)
def test_tracking_takes_a_database_or_a_server(uri: str) -> None:
    assert Tracking.model_validate({"mlflow": {"uri": uri}}).mlflow.uri == uri


@pytest.mark.parametrize(
    ("uri", "said"),
    [
        ("mlruns", "write `sqlite:///mlruns.db`"),
        ("file:///tmp/mlruns", "no longer writes"),
        ("sqlite://", "not a tracking URI"),
        ("sqlite:///", "not a tracking URI"),
        ("postgresql://u:p@h/d", "not a tracking URI"),
        ("https://me:secret@t.example", "MLFLOW_TRACKING_PASSWORD"),
    ],
)
def test_tracking_refuses_what_mlflow_or_the_state_cannot_hold(uri: str, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Tracking.model_validate({"mlflow": {"uri": uri}})


def test_an_alias_is_looked_up_without_mlflow(tmp_path: Path) -> None:
    path = tmp_path / "m.db"
    assert aliased_version(path, "shops", "champion") is None
    with closing(sqlite3.connect(path)) as database:
        database.execute("CREATE TABLE registered_model_aliases (name TEXT, alias TEXT, version INTEGER)")
        database.execute("CREATE TABLE model_versions (name TEXT, version INTEGER, current_stage TEXT)")
        database.execute("INSERT INTO registered_model_aliases VALUES ('shops', 'champion', 3), ('shops', 'gone', 4)")
        database.execute("INSERT INTO model_versions VALUES ('shops', 3, 'None'), ('shops', 4, 'Deleted_Internal')")
        database.commit()
    assert aliased_version(path, "shops", "champion") == "3"
    assert aliased_version(path, "shops", "gone") is None
    assert aliased_version(path, "other", "champion") is None
    path.write_text("not a database")
    assert aliased_version(path, "shops", "champion") is None
