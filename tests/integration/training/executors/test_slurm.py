"""Trainings as jobs of a real Slurm, with one controller and two nodes on this machine."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record
from tests.integration.training.executors.clusters import SlurmCluster
from tests.integration.training.executors.conftest import SLOW, TWO
from tests.integration.training.project import (
    Project,
    context_with_stop,
    in_background,
    kill_session,
    processes_of,
    wait_for,
)

pytestmark = pytest.mark.tools
EXECUTOR = {"type": "slurm", "nodes": 2, "cpus_per_task": 1, "memory": "500M", "time": "10m"}


def number(folder: Path) -> str:
    return str(json.loads((folder / "slurm.json").read_bytes())["id"])


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step-*.json"))


def test_two_nodes_train_what_this_machine_does(project: Project, here: Record, slurm: SlurmCluster) -> None:
    made = project.train("training.nodes", **TWO, executor=EXECUTOR)
    folder = project.ctx.folder(made.key)
    assert made.outputs["digest"] == here.outputs["digest"]
    assert f"job {number(folder)} of Slurm is running" in (folder / "events.jsonl").read_text()
    job = slurm.run("scontrol", "show", "job", number(folder))
    assert "NumNodes=2" in job
    assert "JobState=COMPLETED" in job
    assert not (folder / "placed.json").exists()


@pytest.mark.soak
def test_a_job_outlives_mlctl_and_is_found_again(project: Project, slow_here: Record, slurm: SlurmCluster) -> None:
    values = {**SLOW, "executor": EXECUTOR}
    folder = project.folder("training.adopted", **values)
    thread, errors = in_background(lambda: project.train("training.adopted", **values))
    wait_for(lambda: bool(saved(folder)))
    first = number(folder)
    kill_session(folder)  # the program; the job knows nothing of it
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.died"]
    (folder / "slurm.json").unlink()  # as if it had been killed before it noted what Slurm said
    made = project.train("training.adopted", **values)
    assert number(folder) == first
    assert made.outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_a_stop_saves_and_frees_the_nodes(project: Project, slow_here: Record, slurm: SlurmCluster) -> None:
    values = {**SLOW, "executor": {**EXECUTOR, "restarts": 1}}
    folder = project.folder("training.cancelled", **values)
    ctx, stop = context_with_stop(project.ctx)
    desired = project.desired("training.cancelled", **values)
    thread, errors = in_background(lambda: project.training.apply(desired, None, ctx))
    wait_for(lambda: bool(saved(folder)))
    stop.set()
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.stopped"]
    assert json.loads((folder / "ranks-ended.json").read_bytes())["status"] == "preempted"
    assert not processes_of(folder)
    wait_for(lambda: slurm.run("squeue", "--noheader").strip() == "")
    made = project.train("training.cancelled", **values)
    assert made.outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_a_job_that_slurm_queues_again_goes_on(project: Project, slow_here: Record, slurm: SlurmCluster) -> None:
    values = {**SLOW, "executor": {**EXECUTOR, "restarts": 2}}
    folder = project.folder("training.requeued", **values)
    thread, errors = in_background(lambda: project.train("training.requeued", **values))
    wait_for(lambda: bool(saved(folder)))
    slurm.run("scontrol", "requeue", number(folder))  # as after the loss of a node, or for a job of higher priority
    first = number(folder)
    thread.join()
    assert not errors
    assert number(folder) == first
    assert "going on from a checkpoint" in (folder / "events.jsonl").read_text()
    assert project.inputs["training.requeued"].outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_a_notice_before_the_end_saves_and_another_job_goes_on(
    project: Project, slow_here: Record, slurm: SlurmCluster
) -> None:
    values = {**SLOW, "executor": {**EXECUTOR, "restarts": 4}}
    folder = project.folder("training.noticed", **values)
    thread, errors = in_background(lambda: project.train("training.noticed", **values))
    wait_for(lambda: bool(saved(folder)))
    first = number(folder)
    slurm.run(
        "scancel", "--batch", "--signal=TERM", first
    )  # what `--signal=B:TERM@60` does when the time is nearly over
    thread.join()
    assert not errors
    assert number(folder) != first
    assert "they were asked to stop; starting the ranks again" in (folder / "events.jsonl").read_text()
    assert project.inputs["training.noticed"].outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_a_budget_is_slurms_own_limit_and_no_other_job_follows(
    project: Project, slow_here: Record, slurm: SlurmCluster
) -> None:
    values = {**SLOW, "executor": EXECUTOR}
    folder = project.folder("training.dear", **values)
    whole = project.ctx
    project.ctx = replace(whole, settings={"budget": {"max_hours": 180 / 3600}})
    thread, errors = in_background(lambda: project.train("training.dear", **values))
    wait_for(lambda: bool(saved(folder)))
    first = number(folder)
    assert "TimeLimit=00:03:00" in slurm.run("scontrol", "show", "job", first)
    slurm.run("scancel", "--batch", "--signal=TERM", first)  # as when its time is nearly over
    thread.join()
    (error,) = errors
    assert [item.code for item in error.diagnostics] == ["budget.reached"]
    assert number(folder) == first
    project.ctx = whole
    found = project.train("training.dear", **values)
    assert found.outputs["digest"] == slow_here.outputs["digest"]


@pytest.mark.soak
def test_deleting_ends_the_job_that_nobody_watches(project: Project, slurm: SlurmCluster) -> None:
    values = {**SLOW, "seed": 9, "executor": EXECUTOR}
    folder = project.folder("training.deleted", **values)
    thread, _ = in_background(lambda: project.train("training.deleted", **values))
    wait_for(lambda: bool(saved(folder)))
    first = number(folder)
    kill_session(folder)
    thread.join()
    project.training.delete(project.pending("training.deleted", **values), project.ctx)
    assert not folder.exists()
    assert "JobState=RUNNING" not in slurm.run("scontrol", "show", "job", first)


def test_what_slurm_refuses_is_said_in_its_own_words(project: Project, slurm: SlurmCluster) -> None:
    with pytest.raises(MlctlError) as raised:
        project.train("training.refused", **TWO, executor={**EXECUTOR, "partition": "moon"})
    (found,) = raised.value.diagnostics
    assert found.code == "executor.slurm-refused"
    assert "partition" in found.why
