"""What is kept of a training: its curve, its pictures, where it comes from."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.jobs.search import TRIALS
from mlctl.types.state import Record
from tests.integration.training.project import Project, in_background, kill_session, processes_of, wait_for

pytestmark = pytest.mark.tools

SEARCH = {
    "data": {"labels": "labels", "columns": ["household_id"], "target": "shops", "split": {"by": "random", "test": "20%"}},
    "epochs": 2,
    "batch_size": 96,
    "checkpoint": {"every": "1 steps"},
    "search": {
        "trials": 2,
        "space": {
            "optimizer.lr": {"low": 1e-4, "high": 1e-1, "log": True},
            "model.hidden": {"choices": [[4], [8, 8]]},
        },
    },
}  # fmt: skip


def artifacts(project: Project, run: str) -> Path:
    (found,) = (project.root / ".mlctl" / "mlartifacts").glob(f"**/{run}/artifacts")
    return found


def test_every_step_is_in_the_curve_and_in_the_run(project: Project, single: Record) -> None:
    run = single.outputs["run_id"]
    logged = project.sql("SELECT step, value FROM metrics WHERE run_uuid = ? AND key = 'loss' ORDER BY step", run)
    folder = project.ctx.folder(single.key)
    total = json.loads((folder / "ranks-ended.json").read_bytes())["total"]
    assert [step for step, _ in logged] == list(range(1, total + 1))
    assert logged[-1][1] < logged[0][1]
    rates = project.sql("SELECT DISTINCT value FROM metrics WHERE run_uuid = ? AND key = 'lr'", run)
    assert rates == [(0.01,)]


def test_a_training_leaves_pictures_of_its_loss(project: Project, single: Record) -> None:
    place = artifacts(project, single.outputs["run_id"]) / "plots"
    assert (place / "loss.png").read_bytes().startswith(b"\x89PNG")
    svg = (place / "loss.svg").read_text()
    assert "<svg" in svg
    assert (project.ctx.folder(single.key) / "plots" / "loss.svg").read_text() == svg


def test_the_document_of_provenance_says_what_the_model_was_made_of(project: Project, reference: Record) -> None:
    document = json.loads((artifacts(project, reference.outputs["run_id"]) / "provenance.json").read_text())
    (labels, shopping) = document["data"]
    assert labels["files"] == {"labels.csv": project.ctx.digests.file(project.root / "labels.csv")}
    assert (shopping["kind"], shopping["name"]) == ("feature_view", "shopping")
    assert set(document["code"]["files"]) == {"src/model.py", "src/layers.py"}
    assert document["object"] == str(reference.key)
    assert (document["seed"], document["deterministic"]) == (3, True)
    assert document["environment"].keys() == {"python", "platform", "mlctl", "packages"}
    assert document["devices"]["names"] == ["cpu", "cpu"]
    execution = document["execution"]
    assert (execution["layout"]["strategy"], execution["processes"], execution["executor"]["type"]) == (
        "ddp",
        2,
        "local",
    )
    assert execution["trainable"] == execution["parameters"] > 0
    assert document["result"]["digest"] == reference.outputs["digest"]
    assert document["recipe"]["optimizer"]["lr"] == 0.01


def test_the_parameters_of_a_training_are_kept_with_its_run(project: Project, single: Record) -> None:
    stored = json.loads((artifacts(project, single.outputs["run_id"]) / "training.json").read_text())
    assert stored["recipe"]["seed"] == 3
    assert stored["tracking"]["object"] == str(single.key)


def trials(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_bytes()) for path in sorted((folder / TRIALS).glob("*/trial.json"))]


@pytest.mark.soak
def test_a_search_that_was_killed_goes_on_and_finds_what_it_would_have_found(project: Project) -> None:
    whole = project.train("training.whole", **SEARCH)
    reference = trials(project.ctx.folder(whole.key))
    assert [item["status"] for item in reference] == ["done"] * 2
    best = min(reference, key=lambda item: item["value"])
    assert whole.outputs["search"] == {
        "trials": 2, "pruned": 0, "failed": 0, "best": best["number"] + 1, "metric": "val_loss", "value": best["value"],
        "params": best["params"],
    }  # fmt: skip
    assert f"trials/{best['number']:04d}/" in str(whole.outputs["model"])
    assert (project.root / whole.outputs["model"]).exists()
    for item in reference:  # what the others made is gone
        kept = project.ctx.folder(whole.key) / TRIALS / f"{item['number']:04d}"
        assert (kept / "model").exists() == (item["number"] == best["number"])

    folder = project.folder("training.killed", **SEARCH)
    thread, errors = in_background(lambda: project.train("training.killed", **SEARCH))
    second = folder / TRIALS / "0001" / "checkpoints"
    wait_for(lambda: bool(list(second.glob("step-*.json"))), seconds=120)
    kill_session(folder)
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.died"]
    wait_for(lambda: not processes_of(second.parent), seconds=10)
    pending = project.training.read(project.pending("training.killed", **SEARCH), project.ctx)
    assert pending is not None
    assert pending.detail == "trial 2"
    done = project.train("training.killed", **SEARCH)
    assert trials(folder) == reference
    assert done.outputs["digest"] == whole.outputs["digest"]

    parents = dict(
        project.sql(
            "SELECT r.name, t.value FROM runs r JOIN tags t USING (run_uuid) WHERE t.key = 'mlflow.parentRunId' AND r.name LIKE 'killed%'"
        )
    )
    assert parents == {f"killed-trial-000{number}": done.outputs["search_run_id"] for number in (1, 2)}
    assert (artifacts(project, str(done.outputs["search_run_id"])) / "plots" / "search.svg").exists()
    project.training.delete(done, project.ctx)
    states = project.sql("SELECT DISTINCT lifecycle_stage FROM runs WHERE name LIKE 'killed%'")
    assert states == [("deleted",)]


@pytest.mark.soak
def test_a_search_whose_trials_diverge_says_what_to_narrow(project: Project) -> None:
    from mlctl.types.diagnostic import MlctlError

    search = {"trials": 1, "sampler": "random", "space": {"optimizer.lr": {"low": 1e30, "high": 1e38}}}
    values = {**SEARCH, "optimizer": {"type": "sgd", "lr": 0.1}, "search": search}
    with pytest.raises(MlctlError) as raised:
        project.train("training.wild", **values)
    (problem,) = raised.value.diagnostics
    assert problem.code == "search.nothing-found"
    assert re.search(r"FloatingPointError|not finite|became", problem.why)
    assert [item["status"] for item in trials(project.folder("training.wild", **values))] == ["failed"]
