"""Trainings as workers of a real Ray on this machine."""

from __future__ import annotations

import json
import os
import signal
from pathlib import Path

import psutil
import pytest

from mlctl.types.state import Record
from tests.integration.training.executors.conftest import SLOW
from tests.integration.training.project import Project, context_with_stop, in_background, kill_session, wait_for

pytestmark = pytest.mark.tools
START = 240.0  # Ray takes half a minute to start on a quiet machine
VALUES = {**SLOW, "executor": {"type": "ray", "max_failures": 2}}


def saved(folder: Path) -> list[str]:
    return sorted(path.name for path in (folder / "checkpoints").glob("step-*.json"))


def ranks(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cmdline"])
        if (process.info["cmdline"] or [])[1:4] == ["-m", "mlctl.runtime.trainer.worker", str(folder.resolve())]
    ]


def driver(folder: Path) -> int:
    return int(json.loads((folder / "ray-process.json").read_bytes())["pid"])


@pytest.mark.soak
def test_a_killed_rank_is_started_anew_and_the_driver_outlives_mlctl(project: Project, slow_here: Record) -> None:
    folder = project.folder("training.ray", **VALUES)
    thread, errors = in_background(lambda: project.train("training.ray", **VALUES))
    wait_for(lambda: bool(saved(folder)), seconds=START)
    first = driver(folder)
    kill_session(folder)
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.died"]
    assert psutil.pid_exists(first)

    thread, errors = in_background(lambda: project.train("training.ray", **VALUES))
    wait_for(lambda: len(ranks(folder)) == 2, seconds=START)
    os.kill(ranks(folder)[0], signal.SIGKILL)
    thread.join()
    assert not errors
    assert driver(folder) == first
    assert project.inputs["training.ray"].outputs["digest"] == slow_here.outputs["digest"]
    wait_for(lambda: not psutil.pid_exists(first))


@pytest.mark.soak
def test_a_stop_saves_and_a_killed_driver_takes_its_ranks_along(project: Project, slow_here: Record) -> None:
    values = {**VALUES, "executor": {"type": "ray", "max_failures": 1}}
    folder = project.folder("training.ray_stop", **values)
    ctx, stop = context_with_stop(project.ctx)
    desired = project.desired("training.ray_stop", **values)
    thread, errors = in_background(lambda: project.training.apply(desired, None, ctx))
    wait_for(lambda: bool(saved(folder)), seconds=START)
    stop.set()
    thread.join()
    assert [item.code for error in errors for item in error.diagnostics] == ["job.stopped"]
    assert json.loads((folder / "ranks-ended.json").read_bytes())["status"] == "preempted"

    thread, errors = in_background(lambda: project.train("training.ray_stop", **values))
    wait_for(lambda: len(ranks(folder)) == 2, seconds=START)
    lost = ranks(folder)
    os.kill(driver(folder), signal.SIGKILL)
    wait_for(lambda: not any(psutil.pid_exists(rank) for rank in lost), seconds=20)
    thread.join()
    assert not errors
    assert "the driver of Ray was killed; starting the ranks again" in (folder / "events.jsonl").read_text()
    assert project.inputs["training.ray_stop"].outputs["digest"] == slow_here.outputs["digest"]
