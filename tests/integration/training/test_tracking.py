"""`tracking` moves to another store: the model stays, and is registered there all the same."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from dataclasses import replace

import pytest

from mlctl.provider import Condition
from mlctl.testing.harness import make_desired, make_record
from mlctl.types.state import Record
from tests.integration.training.project import Project

pytestmark = pytest.mark.tools


@pytest.mark.soak
def test_a_model_whose_run_is_in_another_store_is_registered_from_its_folder(project: Project, single: Record) -> None:
    ctx = replace(project.ctx, settings={"tracking": {"mlflow": {"uri": "sqlite:///.mlctl/moved.db"}}})
    block = {
        "model": "${training.single.model}", "dataset": "holdout", "require": {"roc_auc": {"min": 0.1, "not_worse_than": "champion"}},
        "register": {"name": "moved", "alias": "champion"},
    }  # fmt: skip
    inputs = {name: project.inputs[name] for name in ("training.single", "datasets.holdout")}
    desired = make_desired(project.evaluation, "evaluations.moved", block, ctx, inputs)
    record = make_record(desired, project.evaluation.apply(desired, None, ctx))
    assert record.outputs["version"] == "1"
    seen = project.evaluation.read(record, ctx)
    assert seen is not None
    assert seen.condition is Condition.READY
    with closing(sqlite3.connect(project.root / ".mlctl" / "moved.db")) as database:
        assert database.execute("SELECT count(*) FROM model_versions").fetchone() == (1,)

    stricter = make_desired(project.evaluation, "evaluations.moved", {**block, "require": {"roc_auc": {"min": 0.2}}}, ctx, inputs)  # fmt: skip
    again = make_record(stricter, project.evaluation.apply(stricter, record, ctx))
    assert again.outputs["version"] == "1"  # the same model is the same version
    assert again.outputs["digest"] == record.outputs["digest"]
