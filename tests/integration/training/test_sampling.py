"""What Optuna is asked: the answers follow from the seed and the trials before alone."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("what", ["tree_of_parzen", "grid", "median", "hyperband"])
def test_trials_follow_from_the_seed_and_those_before(what: str) -> None:
    check = [sys.executable, "-m", "tests.integration.training.check_sampling", what]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
