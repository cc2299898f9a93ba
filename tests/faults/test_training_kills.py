"""Spot drill: ranks, torchrun and the program of a training are killed at random steps, and nothing is lost of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.launch import job
from mlctl.providers.torch.render import train_job
from mlctl.types.jobs.kill_test import KillTestJob, KillTestReport
from tests.integration.training.project import Project, processes_of

pytestmark = [pytest.mark.tools, pytest.mark.soak]
MODEL = {"type": "python", "entrypoint": "src/model.py:build", "params": {"seconds": 0.05}}  # with dropout
DDP: dict[str, Any] = {"strategy": {"type": "ddp", "processes": 2}, "model": MODEL}


def drill(project: Project, kills: int, seed: int, steps: int = 240) -> KillTestReport:
    training = train_job(project.desired("training.drill", **DDP), project.ctx)
    params = KillTestJob(training=training, kills=kills, steps=steps, seed=seed)
    folder = project.root / "drill"
    report = KillTestReport.model_validate(
        dict(job.run("kill_test", params.model_dump(mode="json"), folder, project.ctx).outputs)
    )
    assert not processes_of(folder / "plain")
    assert not processes_of(folder / "killed")
    return report


def test_a_training_that_is_killed_at_random_steps_is_the_same_to_the_bit(tmp_path: Path) -> None:
    report = drill(Project(tmp_path), kills=4, seed=1)
    assert report.problems == []
    assert {(kill.what.split()[0], kill.signal) for kill in report.kills} == {
        ("rank", "SIGKILL"), ("torchrun", "SIGKILL"), ("the", "SIGKILL"), ("the", "SIGTERM"),
    }  # fmt: skip
    assert all(0 <= kill.step - kill.resumed <= report.every for kill in report.kills)
    assert report.losses_identical
    assert report.weights_identical
    assert report.orphans == 0
