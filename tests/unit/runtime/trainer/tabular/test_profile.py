"""What a training keeps of its numbers for monitors: how they are spread, and none of its rows."""

import json

import numpy as np
import pytest

from mlctl.providers.evidently.reference import frozen
from mlctl.runtime.trainer.tabular.profile import numeric_profile
from mlctl.types.jobs.monitor import Profile


def test_a_profile_holds_quantiles_and_real_counts() -> None:
    values = np.random.default_rng(0).normal(size=50_000)
    values[:500] = np.nan
    made = numeric_profile(values)
    assert (made["count"], made["nulls"], made["categories"]) == (50_000, 500, {})
    assert made["sketch"]["upto"][-1] == 49_500
    assert 1001 <= len(made["sketch"]["values"]) <= 1013
    assert "sample" not in made
    assert sum(made["shares"]) == pytest.approx(1)


def test_few_values_are_told_with_their_shares() -> None:
    assert numeric_profile([0.0, 1.0, 1.0, 3.0])["categories"] == {"0": 0.25, "1": 0.5, "3": 0.25}


@pytest.mark.parametrize("values", [[], [np.nan, np.inf]])
def test_a_column_without_values_is_a_profile_too_and_has_nothing_to_compare_with(values: list[float]) -> None:
    made = json.loads(json.dumps(numeric_profile(values), allow_nan=False))
    assert made["sketch"] is None
    assert frozen(Profile.model_validate({"rows": 5, "columns": {"x": made}})).columns == {}
