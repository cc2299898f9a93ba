"""MLflow builds its database in many statements that no transaction holds together; a kill among them must not spoil it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.processes.environment import worker_environment
from tests.faults.project import KILLED

pytestmark = pytest.mark.tools

CONNECT = [sys.executable, "-W", "ignore", str(Path(__file__).with_name("connect.py"))]


@pytest.mark.soak
def test_a_kill_while_the_tracking_database_is_built_does_not_spoil_it(tmp_path: Path) -> None:
    def connect(*arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*CONNECT, *arguments], cwd=tmp_path, env=worker_environment(), capture_output=True, text=True
        )

    assert connect("DROP TABLE experiments").returncode == KILLED
    first = connect()
    assert first.returncode == 0, first.stderr
    assert connect().stdout == first.stdout != ""  # the same run is found again
    assert {path.name for path in tmp_path.iterdir()} <= {"mlflow.db", "mlflow.db-shm", "mlflow.db-wal", "mlflow.db.lock", "mlartifacts"}  # fmt: skip
