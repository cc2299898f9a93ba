from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest

from mlctl.types.state import Record
from tests.integration.training.executors.clusters import SlurmCluster, SshServer
from tests.integration.training.project import Project

# A training of two ranks that takes a second or two beside its start; the slow one leaves time to kill it.
TWO: dict[str, Any] = {"strategy": {"type": "ddp", "processes": 2}}
SLOW: dict[str, Any] = {
    **TWO,
    "model": {"type": "python", "entrypoint": "src/model.py:build", "params": {"seconds": 0.1}},
    "checkpoint": {"every": "4 steps", "keep": 2},
}


@pytest.fixture(scope="session")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return Project(tmp_path_factory.mktemp("executors"))


@pytest.fixture(scope="session")
def here(project: Project) -> Record:
    """What others are compared with: two ranks on this machine, in one go."""
    return project.train("training.here", **TWO)


@pytest.fixture(scope="session")
def slow_here(project: Project) -> Record:
    return project.train("training.slow_here", **SLOW)


@pytest.fixture
def sshd(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> Iterator[SshServer]:
    server = SshServer(tmp_path)
    monkeypatch.setenv("PATH", f"{server.bin}:{os.environ['PATH']}")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    made = SlurmCluster()
    yield made
    made.stop()


@pytest.fixture
def slurm(cluster: SlurmCluster, monkeypatch: pytest.MonkeyPatch) -> SlurmCluster:
    for name, value in cluster.environment.items():
        monkeypatch.setenv(name, value)
    return cluster
