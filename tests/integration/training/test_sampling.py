"""What Optuna is asked: the answers follow from the seed and the trials before alone."""

from __future__ import annotations

import pytest

from tests.integration.training import language

pytestmark = pytest.mark.tools


@pytest.mark.parametrize("what", ["tree_of_parzen", "grid", "median", "hyperband"])
def test_trials_follow_from_the_seed_and_those_before(what: str) -> None:
    language.run(1, "tests.integration.training.check_sampling", what)
