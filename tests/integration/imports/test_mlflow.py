"""What others have in MLflow under the names of ours: untouched by apply, and by destroy."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from mlctl.testing.harness import make_desired
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record
from tests.integration.training.project import Project

pytestmark = [pytest.mark.tools, pytest.mark.slow]


def theirs(project: Project) -> list[Any]:
    """All that MLflow holds of the registered model `churn` and of the experiment `theirs`."""
    queries = (
        "SELECT * FROM registered_models WHERE name = 'churn'",
        "SELECT * FROM registered_model_tags WHERE name = 'churn'",
        "SELECT * FROM registered_model_aliases WHERE name = 'churn'",
        "SELECT * FROM model_versions WHERE name = 'churn' ORDER BY version",
        "SELECT * FROM model_version_tags WHERE name = 'churn'",
        "SELECT * FROM experiments WHERE name = 'theirs'",
        "SELECT t.* FROM tags t JOIN runs r USING (run_uuid) JOIN experiments e USING (experiment_id) WHERE e.name = 'theirs' ORDER BY 1, 2",
    )
    return [project.sql(query) for query in queries]


@pytest.mark.contract(17)
def test_a_registered_model_of_others_is_left_alone(project: Project) -> None:
    before = theirs(project)
    block = {
        "model": "${training.ours.model}", "dataset": "holdout", "require": {"roc_auc": {"min": 0}},
        "register": {"name": "churn", "alias": "champion"},
    }  # fmt: skip
    with pytest.raises(MlctlError) as caught:
        project.evaluate("evaluations.gate", block)
    (wrong,) = caught.value.diagnostics
    assert wrong.code == "provider.not-ours"
    assert "`mlctl import evaluations.gate models:/churn@champion`" in wrong.fix
    inputs = {name: project.inputs[name] for name in ("training.ours", "datasets.holdout")}
    desired = make_desired(project.evaluation, "evaluations.gate", block, project.ctx, inputs)
    cut_off = Record(desired.key, None, dict(desired.values), pending=Pending.APPLY)
    project.evaluation.delete(cut_off, project.ctx)
    assert theirs(project) == before


def test_runs_in_an_experiment_of_others_come_and_go_and_the_experiment_stays(project: Project) -> None:
    before = theirs(project)
    settings = {"tracking": {"mlflow": {"experiment": "theirs"}}}
    ctx = replace(project.ctx, settings=settings)
    guest = project.desired("training.guest", epochs=1)
    desired = replace(guest, values={**guest.values, "project_tracking": settings["tracking"]})
    outcome = project.training.apply(desired, None, ctx)
    assert theirs(project) != before  # there is a run of ours
    project.training.delete(Record(desired.key, outcome.id, dict(desired.values), outputs=outcome.outputs), ctx)
    assert project.sql("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", outcome.id) == [("deleted",)]
    assert theirs(project)[:6] == before[:6]


def test_a_deleted_experiment_of_others_is_not_brought_back(project: Project) -> None:
    project.mlflow("client.delete_experiment(client.create_experiment('gone'))")
    guest = project.desired("training.late", epochs=1)
    settings = {"mlflow": {"experiment": "gone"}}
    desired = replace(guest, values={**guest.values, "project_tracking": settings})
    with pytest.raises(MlctlError) as caught:
        project.training.apply(desired, None, replace(project.ctx, settings={"tracking": settings}))
    (wrong,) = caught.value.diagnostics
    assert (wrong.code, "restore it yourself" in wrong.fix) == ("provider.not-ours", True)
    assert project.sql("SELECT lifecycle_stage FROM experiments WHERE name = 'gone'") == [("deleted",)]
