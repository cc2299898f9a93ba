from __future__ import annotations

from typing import Any

import pytest

from mlctl.types.state import Record
from tests.integration.training.project import Project

DDP = {"strategy": {"type": "ddp", "processes": 2}}
SLOW = {
    **DDP,
    "model": {"type": "python", "entrypoint": "src/model.py:build", "params": {"seconds": 0.03}},
    "checkpoint": {"every": "3 steps", "keep": 2},
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One folder and one MLflow database for all: building its tables takes seconds."""
    return Project(tmp_path_factory.mktemp("training"))


@pytest.fixture(scope="session")
def single(project: Project) -> Record:
    return project.train("training.single")


@pytest.fixture(scope="session")
def weak(project: Project) -> Record:
    """A model that has learnt next to nothing."""
    return project.train("training.weak", epochs=1, optimizer={"type": "sgd", "lr": 1e-6}, seed=4)


@pytest.fixture(scope="session")
def reference(project: Project) -> Record:
    """The training that others are cut off in, run in one go."""
    return project.train("training.reference", **SLOW)


@pytest.fixture
def slow() -> dict[str, Any]:
    return SLOW
