"""A training takes over models that were there before mlctl: what fits, what does not, and what is given back."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition
from mlctl.testing.harness import make_record
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record
from tests.integration.training.project import Project

pytestmark = [pytest.mark.tools, pytest.mark.slow]


def tags(project: Project, run: str) -> dict[str, str]:
    return dict(project.sql("SELECT key, value FROM tags WHERE run_uuid = ?", run))


def adopt(project: Project, id: str, address: str = "training.churn", **changed: Any) -> Record:
    desired = project.desired(address, **changed)
    return make_record(desired, project.training.adopt(desired, id, project.ctx))


def refused(project: Project, id: str, **changed: Any) -> Any:
    with pytest.raises(MlctlError) as caught:
        adopt(project, id, **changed)
    return caught.value.diagnostics[0]


def test_a_model_of_the_registry_becomes_what_a_training_would_have_made(project: Project) -> None:
    run = project.foreign["good"]
    before = tags(project, run)
    record = adopt(project, "models:/churn/2")
    project.inputs["training.churn"] = record
    outputs = record.outputs
    assert outputs["run_id"] == record.id == run
    assert outputs["serving"]["columns"] == ["items", "amount"]  # in the model's own order
    assert 0.6 < outputs["metrics"]["roc_auc"] < 1
    assert (project.root / outputs["model"] / "MLmodel").is_file()
    assert json.loads((project.root / outputs["training_profile"]).read_bytes())["score"]["count"] > 0
    seen = project.training.read(record, project.ctx)
    assert seen is not None
    assert seen.condition is Condition.READY
    after = tags(project, run)
    assert {name for name in after if name not in before} == {
        "mlctl.adopted", "mlctl.lineage", "mlctl.address", "mlctl.object",
    }  # fmt: skip
    assert {name: after[name] for name in before} == before


def test_a_repeat_is_the_same_and_so_is_an_apply_after_a_crash(project: Project) -> None:
    record = adopt(project, "models:/churn/2")
    cut_off = replace(record, id=None, outputs={}, pending=Pending.APPLY)
    desired = project.desired("training.churn")
    assert make_record(desired, project.training.apply(desired, cut_off, project.ctx)).outputs == record.outputs
    assert adopt(project, "models:/churn/2").outputs == record.outputs


def test_an_adopted_model_is_evaluated_like_any_other(project: Project) -> None:
    project.inputs["training.churn"] = adopt(project, "models:/churn/2")
    block = {"model": "${training.churn.model}", "dataset": "holdout", "require": {"roc_auc": {"min": 0.6}}}
    record = project.evaluate("evaluations.plain", block)
    assert record.gate is not None
    assert record.gate.passed


def test_what_does_not_fit_is_named_and_stays_unmarked(project: Project) -> None:
    runs = project.foreign
    wrong = refused(project, f"runs:/{runs['columns']}/model", address="training.columns")
    assert (wrong.code, "other" in wrong.why, "items" in wrong.why) == ("import.differs", True, True)
    wrong = refused(project, f"runs:/{runs['target']}/model", address="training.target")
    assert (wrong.code, "`data.target`" in wrong.summary) == ("import.differs", True)
    assert (
        refused(project, f"runs:/{runs['unsigned']}/model", address="training.unsigned").code == "import.no-signature"
    )
    assert refused(project, "models:/churn/9", address="training.gone").code == "import.not-found"
    assert refused(project, "churn", address="training.gone").code == "import.bad-id"
    for name in ("columns", "target", "unsigned"):
        assert "mlctl.lineage" not in tags(project, runs[name])


def test_what_is_another_states_or_another_objects_is_refused(project: Project) -> None:
    ours = project.inputs["training.ours"]
    assert refused(project, ours.outputs["model_uri"]).code == "import.owned"
    other = replace(project.ctx, lineage="11111111-other")
    desired = project.desired("training.again")
    with pytest.raises(MlctlError) as caught:
        project.training.adopt(desired, ours.outputs["model_uri"], other)
    (wrong,) = caught.value.diagnostics
    assert wrong.code == "import.owned"
    assert "training.ours" in wrong.why
    assert "remove the tag `mlctl.lineage`" in wrong.fix


def test_destroy_gives_the_run_back(project: Project) -> None:
    run = project.foreign["good"]
    record = adopt(project, "models:/churn/2", address="training.churn")
    project.training.delete(replace(record, pending=Pending.DELETE), project.ctx)
    assert project.sql("SELECT lifecycle_stage FROM runs WHERE run_uuid = ?", run) == [("active",)]
    assert not [name for name in tags(project, run) if name.startswith("mlctl.")]
    assert project.sql("SELECT count(*) FROM model_versions WHERE name = 'churn'") == [(2,)]
    assert not (project.root / record.outputs["model"]).exists()
    assert list(Path(project.root / "theirs").rglob("MLmodel"))
