"""Which drift each method catches, and which it does not: a correlation that turns is seen by no test of single features."""

from pathlib import Path

import numpy as np
import pytest

from mlctl.runtime.monitor.together import compare_together
from mlctl.stats.drift import Method
from mlctl.types.diagnostic import MlctlError
from tests.drifts import METHODS, NAMES, Watched, caught, draw

TOGETHER = ["domain_classifier", "pca", "autoencoder"]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Watched:
    return Watched(tmp_path_factory.mktemp("reference"), TOGETHER)


def check(watched: Watched, runs: int) -> None:
    for kind in ("none", "concept"):  # what comes of the same features is to be seen in none of them
        found = caught(watched, kind, 1000, runs)
        assert sum(found.values()) <= max(1, 0.1 * runs), (kind, found)
    mean, variance = caught(watched, "mean", 1000, runs), caught(watched, "variance", 1000, runs)
    assert min(mean["ks"], mean["wasserstein"]) >= 0.95
    assert variance["wasserstein"] >= 0.95
    assert (
        max(mean["pca"], mean["autoencoder"], mean["psi"]) <= 0.1
    )  # the features hang together as before; the index is slow
    turned = caught(watched, "correlation", 1000, runs)
    assert min(turned[name] for name in TOGETHER) >= 0.95
    assert max(turned[name] for name in METHODS) <= 0.1
    assert max(turned["score ks"], turned["score jensen_shannon"]) >= 0.7
    segment = caught(watched, "segment", 1000, runs)
    assert segment["wasserstein"] >= 0.5
    assert segment["psi"] <= 0.1
    labels = caught(watched, "labels", 4000, runs)
    assert labels["score ks"] >= 0.5
    assert max(labels[name] for name in TOGETHER) <= 0.1


def test_each_method_sees_what_it_should_and_no_more(watched: Watched) -> None:
    check(watched, 2)


@pytest.mark.soak
def test_each_method_sees_what_it_should_and_no_more_in_many_runs(watched: Watched) -> None:
    check(watched, 40)


def test_the_features_that_tell_the_sets_apart_are_named(watched: Watched) -> None:
    assert watched.part.together is not None
    x = draw(np.random.default_rng(3), 1500, "correlation")
    columns = {name: x[:, index].tolist() for index, name in enumerate(NAMES)}
    found, details = compare_together(watched.part.together, columns, 100)
    assert [item["feature"] for item in details["features"][:2]] == ["x0", "x1"]
    assert found[Method.DOMAIN_CLASSIFIER].effect > 0.65
    assert details["pca"]["error"] > details["pca"]["reference_error"]
    few, nothing = compare_together(watched.part.together, {name: values[:99] for name, values in columns.items()}, 100)
    assert {item.p_value for item in few.values()} == {1.0}
    assert nothing == {}


def test_false_alarms_of_the_joint_tests_alone(watched: Watched) -> None:
    """p-values of each are uniform at most, at the size where a window of a few rows is all there is."""
    assert max(false_alarms(watched, 8).values()) <= 2  # 5 % of each; more than two of eight have a chance of 0.6 %


@pytest.mark.soak
def test_false_alarms_of_the_joint_tests_alone_in_many_runs(watched: Watched) -> None:
    assert max(false_alarms(watched, 300).values()) <= 0.05 * 300 + 2.6 * (300 * 0.05 * 0.95) ** 0.5


def false_alarms(watched: Watched, runs: int) -> dict[Method, int]:
    random = np.random.default_rng(5)
    low = dict.fromkeys(map(Method, TOGETHER), 0)
    assert watched.part.together is not None
    for _ in range(runs):
        x = draw(random, 120)
        found, _ = compare_together(
            watched.part.together, {name: x[:, index].tolist() for index, name in enumerate(NAMES)}, 100
        )
        for method, item in found.items():
            low[method] += item.p_value < 0.05
    return low


def test_too_few_rows_of_the_reference_are_refused(tmp_path: Path) -> None:
    with pytest.raises(MlctlError) as caught:
        Watched(tmp_path, ["pca"], rows=199)
    assert caught.value.diagnostics[0].code == "monitor.idle-method"
    assert "199 rows and 200 are needed" in caught.value.diagnostics[0].why
