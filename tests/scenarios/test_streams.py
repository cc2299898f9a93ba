"""What a shell may do to the output of a command is no failure of the command."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.scenarios.runner import MLCTL


@pytest.fixture
def project(tmp_path: Path) -> Path:
    entities = "".join(f"  entity_{number}: {{key: key_{number}}}\n" for number in range(2000))
    (tmp_path / "mlctl.yaml").write_text(f"project: shop\nentities:\n{entities}")
    return tmp_path


@pytest.mark.parametrize(
    ("command", "out"),
    [
        ("mlctl plan | head -1", "  + entities.entity_0     create: not made yet\n"),
        ("mlctl plan --json | head -c 18", '{"type": "version"'),
        ("mlctl plan >&-; echo $?", "0\n"),
        ("mlctl --version >&-; echo $?", "0\n"),
        ("mlctl nonsense 2>&-; echo $?", "1\n"),
        ("mlctl plan >&- 2>&-; echo $?", "0\n"),
        ("mlctl apply -y | head -1", "  + entities.entity_0     create: not made yet\n"),
    ],
)
def test_a_reader_that_goes_away_is_no_error(command: str, out: str, project: Path) -> None:
    command = command.replace("mlctl", str(MLCTL), 1)
    done = subprocess.run(["sh", "-c", command], cwd=project, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == (out, "")
