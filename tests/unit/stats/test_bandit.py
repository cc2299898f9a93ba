"""Shares against closed forms, what arms are worth without bias, and what is lost on the way."""

import json
import subprocess
import sys

import numpy as np
import pytest

from mlctl.stats.bandit import ArmRewards, chances, floored, shares, weighted_mean
from tests.simulations import bandit


def paid(number: int, ones: int) -> ArmRewards:
    return ArmRewards(number, float(ones), float(ones))


@pytest.mark.parametrize(
    ("one", "other", "chance"), [((200, 20), (200, 30), 0.93330529), ((10, 1), (10, 4), 0.92569659)]
)
def test_the_chance_to_be_the_better_of_two(one: tuple[int, int], other: tuple[int, int], chance: float) -> None:
    """Closed form of two Beta posteriors with flat priors."""
    found = chances({"a": paid(*one), "b": paid(*other)}, "binary", seed=1, draws=40_000)
    assert found["b"] == pytest.approx(chance, abs=0.004)


def test_means_of_any_numbers_are_compared_by_students_t() -> None:
    """Equal spread, 20 rewards each: the difference of two t with 19 degrees, by quadrature 0.9344."""
    one = ArmRewards(20, 20 * 1.0, 20 * 1.0 + 19)
    other = ArmRewards(20, 20 * 1.5, 20 * 2.25 + 19)
    assert chances({"a": one, "b": other}, "mean", seed=1, draws=40_000)["b"] == pytest.approx(0.934, abs=0.006)


def test_rewards_that_are_all_alike_are_no_trap() -> None:
    found = chances({"a": ArmRewards(50, 50.0, 50.0), "b": ArmRewards(50, 100.0, 200.0)}, "mean", seed=1)
    assert found == {"a": 0.0, "b": 1.0}
    assert chances({"a": ArmRewards(1, 5.0, 25.0), "b": ArmRewards()}, "mean", seed=1) == {"a": 0.5, "b": 0.5}


def test_no_share_is_below_the_floor_and_all_are_the_whole() -> None:
    found = floored({"a": 1.0, "b": 0.0, "c": 0.0}, 0.05)
    assert found == pytest.approx({"a": 0.9, "b": 0.05, "c": 0.05})
    assert sum(found.values()) == pytest.approx(1.0)
    with pytest.raises(ValueError, match="cannot have"):
        floored({"a": 0.5, "b": 0.5}, 0.6)


def test_shares_stay_as_they_began_until_each_arm_has_its_rewards() -> None:
    arms = {"a": paid(1000, 900), "b": paid(39, 1)}
    assert shares(arms, "binary", floor=0.05, min_rewards=40, seed=1) is None
    arms["b"] = paid(40, 1)
    assert shares(arms, "binary", floor=0.05, min_rewards=40, seed=1) == pytest.approx({"a": 0.95, "b": 0.05})


def test_the_same_rewards_give_the_same_shares_in_every_process() -> None:
    arms = {"a": paid(100, 10), "b": paid(100, 13)}
    code = (
        "import json; from mlctl.stats.bandit import ArmRewards, chances;"
        "arms = {'a': ArmRewards(100, 10.0, 10.0), 'b': ArmRewards(100, 13.0, 13.0)};"
        "print(json.dumps(chances(arms, 'binary', seed=5)))"
    )
    elsewhere = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(elsewhere.stdout) == chances(arms, "binary", seed=5)
    assert chances(arms, "binary", seed=6) != chances(arms, "binary", seed=5)


def test_arm_means_by_propensities_have_no_bias_where_plain_means_have() -> None:
    generator = np.random.default_rng(11)
    plain, weighted = [], []
    for _ in range(200):
        arms = bandit({"a": 0.3, "b": 0.3}, generator, pulls=200, batch=20, floor=0.05, min_rewards=1, draws=100).arms
        total = sum(arm.number for arm in arms.values())
        for arm in arms.values():
            estimate = weighted_mean(arm, total)
            assert estimate is not None
            weighted.append(estimate.mean)
            plain.append(arm.mean or 0.0)
    error = float(np.std(weighted)) / len(weighted) ** 0.5
    assert abs(np.mean(weighted) - 0.3) < 3 * error
    assert np.mean(plain) < 0.3 - 3 * float(np.std(plain)) / len(plain) ** 0.5


def test_a_bandit_loses_far_less_than_an_even_split() -> None:
    generator = np.random.default_rng(1)
    lost = [bandit({"a": 0.1, "b": 0.12}, generator, pulls=8000, batch=500, floor=0.01).regret[-1] for _ in range(12)]
    assert np.mean(lost) < 0.6 * 8000 * 0.01
