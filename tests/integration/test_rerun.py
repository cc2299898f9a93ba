"""What failed beside others is run once more, alone, and only what passes then has passed."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts/run_tests.py"
BESIDE = "beside = 'PYTEST_XDIST_WORKER' in os.environ"


@pytest.mark.parametrize(
    ("body", "code", "says"),
    [
        ("def test_a(): pass", 0, ""),
        ("def test_a(): assert not beside", 0, "passed only when run alone:\n  test_it.py::test_a"),
        ("def test_a(): assert False", 1, "failed twice:\n  test_it.py::test_a"),
        ("if beside:\n    def test_a(): assert False\ndef test_b(): pass", 1, "failed twice:\n  test_it.py::test_a"),
    ],
    ids=["right", "too slow beside others", "wrong", "not found again"],
)
def test_a_failure_passes_only_by_passing_alone(tmp_path: Path, body: str, code: int, says: str) -> None:
    (tmp_path / "test_it.py").write_text(f"import os\n{BESIDE}\n{body}\n")
    outer = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    ran = subprocess.run(
        [sys.executable, str(SCRIPT), "-q"], cwd=tmp_path, env=outer, capture_output=True, text=True, timeout=120, check=False
    )  # fmt: skip
    assert ran.returncode == code, ran.stdout
    assert says in ran.stdout
