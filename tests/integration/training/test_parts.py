"""The parts that need heavy libraries, each in a process of its own: their imports warn, and stay loaded."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("part", ["parts", "weights", "metrics", "models"])
def test_part(part: str) -> None:
    command = [sys.executable, "-m", "tests.integration.training.check_parts", part]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
