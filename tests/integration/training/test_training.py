"""Trainings run for real, by torchrun where there is more than one process."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.launch.job import JobState, state
from mlctl.provider import Condition
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.state import Record
from tests.integration.training.conftest import DDP
from tests.integration.training.project import (
    Project,
    context_with_stop,
    in_background,
    kill_session,
    processes_of,
    wait_for,
)

pytestmark = pytest.mark.tools
KEYS = [{"name": "household_id", "type": "int64"}]


def test_two_processes_learn_what_one_does(project: Project, single: Record) -> None:
    both = project.train("training.ddp", **DDP)
    assert both.outputs["metrics"]["val_loss"] == pytest.approx(single.outputs["metrics"]["val_loss"], rel=1e-4)
    assert both.outputs["metrics"]["train_loss"] == pytest.approx(single.outputs["metrics"]["train_loss"], rel=1e-4)
    assert both.outputs["metrics"]["roc_auc"] == pytest.approx(single.outputs["metrics"]["roc_auc"], abs=0.002)
    assert both.outputs["metrics"]["roc_auc"] > 0.65


def test_a_repeat_takes_the_result_that_is_there(project: Project, single: Record) -> None:
    folder = project.ctx.folder(single.key)
    before = (folder / "process.json").read_text()
    assert project.train("training.single").outputs == single.outputs
    assert (folder / "process.json").read_text() == before


def test_outputs_keep_the_contract(project: Project, single: Record) -> None:
    outputs = single.outputs
    assert outputs["serving"] == {
        "columns": ["amount", "items"],
        "keys": KEYS,
        "views": [{"view": "shopping", "keys": KEYS, "features": ["amount", "items"], "ttl_seconds": 172800}],
        "store": None,
        "transformations": [],
    }
    assert (outputs["rows"], outputs["target"], outputs["task"]) == (720, "shops", "binary")
    assert not any(Path(outputs[name]).is_absolute() for name in ("model", "keys", "training_profile"))
    profile = json.loads((project.root / outputs["training_profile"]).read_text())
    items = profile["columns"]["items"]
    assert set(profile) == {"rows", "columns", "score", "target"}
    assert len(items["quantiles"]) == 101
    assert items["nulls"] == pytest.approx(items["count"] * 9 / 60, rel=0.01)
    assert sum(items["shares"]) == pytest.approx(1)
    assert len(items["shares"]) == len(items["edges"]) + 1
    assert 0 <= profile["score"]["min"] <= profile["score"]["max"] <= 1
    assert project.training.read(single, project.ctx) is not None


def test_one_mlflow_run_holds_the_ten_things(project: Project, reference: Record) -> None:
    run = reference.outputs["run_id"]
    params = dict(project.sql("SELECT key, value FROM params WHERE run_uuid = ?", run))
    tags = dict(project.sql("SELECT key, value FROM tags WHERE run_uuid = ?", run))
    metrics = project.sql("SELECT key, step, value FROM metrics WHERE run_uuid = ?", run)
    names = {name for name, _, _ in metrics}
    assert (params["optimizer.lr"], params["seed"], params["epochs"], params["model.type"]) == (
        "0.01",
        "3",
        "4",
        "python",
    )
    assert {"python", "torch", "platform"} <= set(params)
    assert len({step for name, step, _ in metrics if name == "val_loss"}) == 4
    assert {"train_loss", "val_loss", "validation.roc_auc", "total_seconds", "epoch_seconds"} <= names
    assert {"resources.cpu_seconds", "resources.peak_rss_megabytes"} <= names
    data = project.sql(
        "SELECT d.name, d.digest FROM inputs i JOIN datasets d ON d.dataset_uuid = i.source_id WHERE i.destination_id = ?",
        run,
    )
    labels = project.inputs["datasets.labels"].outputs["digest"]
    assert dict(data) == {"labels": labels[:36], "shopping": "f" * 32}
    assert (tags["mlctl.data.labels"], tags["mlctl.data.shopping"]) == (labels, "f" * 32)
    assert tags["mlctl.object"] == str(reference.key)
    assert tags["mlctl.digest"] == reference.outputs["digest"]
    assert "mlctl.code.digest" in tags
    artifacts = project.root / ".mlctl" / "mlartifacts" / run / "artifacts"
    if not artifacts.exists():
        (artifacts,) = (project.root / ".mlctl" / "mlartifacts").glob(f"**/{run}/artifacts")
    assert {"model", "requirements.txt", "dataset_statistics.json", "training_profile.json", "provenance.json"} <= {
        path.name for path in artifacts.iterdir()
    }
    statistics = json.loads((artifacts / "dataset_statistics.json").read_text())
    assert statistics["train_rows"] + statistics["validation_rows"] == reference.outputs["rows"]
    assert "torch==" in (artifacts / "requirements.txt").read_text()
    assert project.sql("SELECT status FROM runs WHERE run_uuid = ?", run) == [("FINISHED",)]


def test_a_training_that_is_stopped_and_then_killed_ends_in_the_same_model(
    project: Project, reference: Record, slow: dict[str, Any]
) -> None:
    folder = project.folder("training.cut", **slow)
    pending = project.pending("training.cut", **slow)
    ctx, stop = context_with_stop(project.ctx)
    desired = project.desired("training.cut", **slow)

    thread, errors = in_background(lambda: project.training.apply(desired, None, ctx))
    wait_for(lambda: bool(checkpoints(folder)))
    assert project.training.read(pending, project.ctx).condition is Condition.RUNNING  # type: ignore[union-attr]
    stop.set()
    thread.join()
    assert [error.exit_code for error in errors] == [ExitCode.INTERRUPTED]
    assert not processes_of(folder)
    assert json.loads((folder / "result.json").read_text())["status"] == "preempted"
    assert json.loads((folder / "ranks-ended.json").read_text())["status"] == "preempted"

    before = checkpoints(folder)
    thread, errors = in_background(lambda: project.train("training.cut", **slow))
    wait_for(lambda: not before & checkpoints(folder))
    assert len(processes_of(folder)) == 4  # the program, torchrun and two ranks
    kill_session(folder)
    wait_for(lambda: not processes_of(folder), seconds=5)
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.died"]
    assert state(folder) is JobState.DEAD
    seen = project.training.read(pending, project.ctx)
    assert seen is not None
    assert seen.condition is Condition.RESUMABLE
    assert re.fullmatch(r"step \d+ of 36", seen.detail)

    newest = sorted((folder / "checkpoints").glob("step-*/state.pt"))[-1]
    newest.write_bytes(newest.read_bytes()[:-100])  # and the newest checkpoint is torn: the one before serves
    done = project.train("training.cut", **slow)
    assert "going on from a checkpoint" in (folder / "events.jsonl").read_text()
    assert done.outputs["digest"] == reference.outputs["digest"]
    assert done.outputs["metrics"] == reference.outputs["metrics"]
    query = "SELECT run_uuid FROM tags WHERE key = 'mlctl.object' AND value = ?"
    assert project.sql(query, str(done.key)) == [(done.outputs["run_id"],)]
    logged = project.sql("SELECT step FROM metrics WHERE key = 'val_loss' AND run_uuid = ?", done.outputs["run_id"])
    assert sorted(logged) == [(1,), (2,), (3,), (4,)]


def checkpoints(folder: Path) -> set[str]:
    return {path.name for path in (folder / "checkpoints").glob("step-*.json")}


def test_a_missing_model_folder_is_made_again_without_training(project: Project, single: Record) -> None:
    model = project.root / single.outputs["model"]
    model.rename(model.with_name("lost"))
    assert project.training.read(single, project.ctx) is None
    again = project.train("training.single")
    assert again.outputs["digest"] == single.outputs["digest"]
    assert again.outputs["run_id"] == single.outputs["run_id"]
    assert project.training.read(again, project.ctx) is not None


def test_the_first_rank_to_fail_is_named(project: Project) -> None:
    broken = {"type": "python", "entrypoint": "src/model.py:broken"}
    with pytest.raises(MlctlError) as raised:
        project.train("training.broken", **DDP, model=broken)
    (found,) = raised.value.diagnostics
    assert found.code == "training.rank-failed"
    assert "the flux capacitor is empty" in found.summary
    assert "model.py" in found.why
    assert project.sql("SELECT status FROM runs WHERE name = 'broken'") == [("FAILED",)]


@pytest.mark.parametrize(
    ("row", "block", "code"),
    [
        ({"x": 1.0, "y": ""}, {}, "training.target-missing"),
        ({"x": 1.0, "y": 2.0}, {"task": "binary"}, "training.not-binary"),
        ({"x": 1.0, "y": 1.0}, {}, "training.one-class"),
    ],
)
def test_rows_that_cannot_be_learnt_from_are_refused(
    project: Project, row: dict[str, Any], block: dict[str, Any], code: str
) -> None:
    name = code.partition(".")[2].replace("-", "_")
    filled = {"x": 2.0, "y": 1.0}
    project.write_table(name, [row, *([filled] * 9)], {"x": "double", "y": "double"})
    data = {"labels": name, "target": "y", "split": {"by": "random", "test": "20%"}}
    values = {"data": data, **DDP, **block}
    with pytest.raises(MlctlError) as raised:
        project.train(f"training.{name}", **values)
    assert [item.code for item in raised.value.diagnostics] == [code]
    folder = project.folder(f"training.{name}", **values)
    wait_for(lambda: not processes_of(folder), seconds=5)  # the ranks, which waited for these rows


def test_deleting_takes_the_folder_and_the_run(project: Project) -> None:
    rows = [{"x": float(index % 7), "y": index % 7 * 2.5 + 1} for index in range(40)]
    project.write_table("line", rows, {"x": "double", "y": "double"})
    data = {"labels": "line", "target": "y", "split": {"by": "random", "test": "20%"}}
    model = {"type": "mlp", "hidden": []}
    record = project.train(
        "training.line", data=data, model=model, epochs=60, batch_size=8, optimizer={"type": "adamw", "lr": 0.05}
    )
    assert record.outputs["task"] == "regression"
    assert record.outputs["metrics"]["r2"] > 0.99
    project.training.delete(record, project.ctx)
    assert not project.ctx.folder(record.key).exists()
    query = "SELECT lifecycle_stage FROM runs WHERE run_uuid = ?"
    assert project.sql(query, record.outputs["run_id"]) == [("deleted",)]
    project.training.delete(replace(record, id=None, outputs={}), project.ctx)  # gone already
