"""Feast is imported in a hurry, and nobody else is to notice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.processes.environment import worker_environment

pytestmark = pytest.mark.tools

PROGRAM = """
import sys
import typeguard
from mlctl.runtime.features.feast_opening import import_feast

checked = typeguard.typechecked
import_feast()
assert "feast" in sys.modules
assert "torch" not in sys.modules
assert typeguard.typechecked is checked

@typeguard.typechecked
def double(value: int) -> int:
    return 2 * value

try:
    double("a")
except typeguard.TypeCheckError:
    pass
else:
    raise AssertionError("typeguard does not check any more")

import_feast()
import torch
assert torch.ones(2).sum() == 2
import_feast()
assert sys.modules["torch"] is torch
"""


def test_importing_feast_leaves_typeguard_and_torch_as_they_were(tmp_path: Path) -> None:
    program = tmp_path / "program.py"  # typeguard needs the source of what it checks
    program.write_text(PROGRAM)
    done = subprocess.run(
        [sys.executable, str(program)], env=worker_environment(), capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_importing_feast_leaves_no_folder_and_no_setting_behind(tmp_path: Path) -> None:
    program = (
        "import os; from mlctl.runtime.features.feast_opening import import_feast; import_feast();"
        "import prometheus_client; prometheus_client.Counter('a', 'b').inc();"
        "assert not [name for name in os.environ if name.startswith('PROMETHEUS')]; os._exit(0)"
    )
    subprocess.run([sys.executable, "-c", program], env=worker_environment({"TMPDIR": str(tmp_path)}), check=True)
    assert list(tmp_path.iterdir()) == []
