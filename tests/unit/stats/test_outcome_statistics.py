"""Limits, metrics with errors, estimates without labels, changes of ratios, and label budgets: against oracles and known truths."""

import math

import numpy as np
import pytest
from scipy.stats import ttest_ind
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss, roc_auc_score
from statsmodels.stats.proportion import proportion_confint

from mlctl.stats import label_budget
from mlctl.stats.calibration import calibrate, estimate, expected
from mlctl.stats.limits import binomial_limits, mean_limit
from mlctl.stats.performance import measure, p_worse
from mlctl.stats.ratio_change import Ratio, change


def rows(seed: int, count: int, spread: float = 2.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Scores that are true probabilities, the outcomes, and the decisions."""
    random = np.random.default_rng(seed)
    score = 1 / (1 + np.exp(-random.normal(0, spread, count)))
    return score, (random.random(count) < score).astype(float), (score >= 0.5).astype(float)


@pytest.mark.parametrize(("errors", "count"), [(0, 50), (7, 200), (200, 200), (500, 5000)])
def test_limits_of_a_rate_are_those_of_statsmodels(errors: int, count: int) -> None:
    low, high = proportion_confint(errors, count, alpha=0.1, method="beta")
    assert binomial_limits(errors, count, 0.95) == pytest.approx(
        (0.0 if errors == 0 else low, 1.0 if errors == count else high)
    )


def test_the_limit_of_a_mean_loss_holds_and_comes_near_with_rows() -> None:
    random = np.random.default_rng(1)
    above = [mean_limit(random.beta(1, 9, 400).tolist(), 0.95) >= 0.1 for _ in range(300)]
    assert np.mean(above) >= 0.95
    assert 0.1 < mean_limit(random.beta(1, 9, 50_000).tolist(), 0.95) < 0.102
    assert mean_limit([0.3], 0.95) == 1.0


def test_metrics_are_those_of_scikit_learn() -> None:
    score, target, decided = rows(2, 3000)
    score[:500] = np.round(score[:500], 1)  # ties
    score = np.clip(score, 0.001, 0.999)
    found = {name: measure(name, target, score, decided) for name in ("roc_auc", "log_loss", "error_rate", "brier")}
    assert all(item is not None and item.rows == 3000 for item in found.values())
    values = {name: item.value for name, item in found.items() if item is not None}
    assert values["roc_auc"] == pytest.approx(roc_auc_score(target, score))
    assert values["log_loss"] == pytest.approx(log_loss(target, score))
    assert values["error_rate"] == np.mean(decided != target)
    assert values["brier"] == pytest.approx(np.mean((score - target) ** 2))


@pytest.mark.parametrize("metric", ["roc_auc", "log_loss", "error_rate", "brier", "rmse"])
def test_standard_errors_are_the_spread_over_samples(metric: str) -> None:
    found = [
        measure(metric, target, score, decided) for score, target, decided in (rows(seed, 400) for seed in range(200))
    ]
    known = [item for item in found if item is not None]
    spread = float(np.std([item.value for item in known], ddof=1))
    assert np.mean([item.error for item in known]) == pytest.approx(spread, rel=0.15)


def test_metrics_that_the_rows_do_not_allow_are_none_and_rows_without_a_label_count_for_nothing() -> None:
    score, target, decided = rows(3, 100)
    assert measure("roc_auc", np.ones(100), score, decided) is None
    assert measure("error_rate", target[:0], score[:0], decided[:0]) is None
    target[:40] = math.nan
    found = measure("error_rate", target, score, decided)
    assert found is not None
    assert found.rows == 60
    perfect = measure("roc_auc", np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.1, 0.2, 0.8, 0.9]), np.zeros(4))
    assert perfect is not None
    assert perfect.error > 0.2  # four rows prove nothing


def test_worse_by_more_than_a_margin_is_tested_on_the_right_side() -> None:
    good, bad = (
        measure("roc_auc", target, score, score) for score, target, _ in (rows(4, 3000, 3.0), rows(5, 3000, 1.0))
    )
    assert good is not None
    assert bad is not None
    assert p_worse("roc_auc", bad, good, 0.02) < 1e-6
    assert p_worse("roc_auc", good, bad, 0.02) > 0.999
    assert p_worse("error_rate", bad, bad, 0.0) == pytest.approx(0.5)


@pytest.mark.parametrize("metric", ["error_rate", "log_loss", "roc_auc"])
@pytest.mark.parametrize("count", [600, 1500])  # two ways of calibration
def test_a_change_of_the_requests_is_estimated_without_labels(metric: str, count: int) -> None:
    known, target, _ = rows(6, count)
    held = (known**1.5, target)  # a model that is not calibrated
    score, outcome, _ = rows(7, 1500, 1.0)
    score = score**1.5
    decided = (score >= 0.5).astype(float)
    found = estimate(metric, held, score, decided, 0.01)
    truly = measure(metric, outcome, score, decided)
    assert truly is not None
    assert found.low - 2 * truly.error < truly.value < found.high + 2 * truly.error
    assert found.change_low > 0
    same, _, _ = rows(8, 1500)
    calm = estimate(metric, held, same**1.5, (same**1.5 >= 0.5).astype(float), 0.01)
    assert calm.change_low < 0 < calm.change_high


def test_few_rows_are_calibrated_as_scikit_learn_fits_a_logistic_regression() -> None:
    known, target, _ = rows(6, 500)
    logit = np.log(known / (1 - known)).reshape(-1, 1)
    oracle = LogisticRegression(C=1e6, tol=1e-8).fit(logit, target)
    ours = calibrate(known, target)(known)
    assert np.abs(ours - oracle.predict_proba(logit)[:, 1]).max() < 1e-4
    apart = calibrate(np.linspace(0.01, 0.99, 300), (np.arange(300) > 150).astype(float))
    assert np.isfinite(apart(np.array([0.0, 0.5, 1.0]))).all()


def test_concept_drift_leaves_an_estimate_as_it_was() -> None:
    known, target, _ = rows(6, 900)
    score, outcome, decided = rows(9, 4000)
    found = estimate("error_rate", (known, target), score, decided, 0.05)
    flipped = measure("error_rate", 1 - outcome, score, decided)
    assert flipped is not None
    assert flipped.value > 0.7
    assert found.high < 0.3


def test_an_expected_area_counts_ties_half() -> None:
    score, share = np.array([0.2, 0.5, 0.5, 0.9]), np.array([0.0, 1.0, 0.0, 1.0])
    assert expected("roc_auc", score, share, score) == pytest.approx(roc_auc_score(share, score))
    assert math.isnan(expected("roc_auc", score, np.ones(4), score))


def test_a_ratio_of_units_of_one_row_is_a_mean() -> None:
    random = np.random.default_rng(10)
    now, before = random.normal(10, 2, 300), random.normal(11, 2, 300)
    sides = []
    for values in (now, before):
        ratio = Ratio()
        for value in values:
            ratio.add(float(value), 1)
        sides.append(ratio)
    found = change(sides[0], sides[1], 0.0, True)
    assert found is not None
    assert found.worse == pytest.approx(before.mean() - now.mean())
    assert found.p_value == pytest.approx(
        ttest_ind(before, now, equal_var=False, alternative="greater").pvalue, rel=0.2
    )
    assert change(Ratio(), sides[0], 0.0, True) is None


def test_clicks_of_one_user_are_not_independent_and_alarm_as_rarely_as_they_should() -> None:
    random = np.random.default_rng(11)
    alarms, naive = 0, 0
    for _ in range(400):
        sides, counts = [], []
        for _ in range(2):
            ratio, shares = Ratio(), random.beta(1, 4, 150)
            shown = random.geometric(0.1, 150)
            clicked = random.binomial(shown, shares)
            for value, number in zip(clicked, shown, strict=True):
                ratio.add(float(value), float(number))
            sides.append(ratio)
            counts.append((clicked.sum(), shown.sum()))
        found = change(sides[0], sides[1], 0.0, True)
        assert found is not None
        alarms += found.p_value < 0.05
        (a, m), (b, n) = counts
        pooled = (a + b) / (m + n)
        naive += (b / n - a / m) / math.sqrt(pooled * (1 - pooled) * (1 / m + 1 / n)) > 1.645
    assert alarms / 400 < 0.08
    assert naive / 400 > 0.15  # what counting rows would do


def test_label_budgets_are_those_of_the_exact_test() -> None:
    powers = [label_budget.power(labels, 0.15, 0.03, 0.05) for labels in (100, 400, 800)]
    assert powers == pytest.approx([0.180, 0.469, 0.723], abs=0.001)
    needed = label_budget.labels_needed(0.15, 0.03, 0.05, 0.8)
    assert needed == 988
    assert all(label_budget.power(needed + more, 0.15, 0.03, 0.05) >= 0.8 for more in range(200))
    assert label_budget.power(needed - 1, 0.15, 0.03, 0.05) < 0.8
    with pytest.raises(ValueError, match="cannot rise"):
        label_budget.labels_needed(0.99, 0.03, 0.05, 0.8)
    with pytest.raises(ValueError, match="takes about"):
        label_budget.labels_needed(0.15, 0.00001, 0.05, 0.8)


@pytest.mark.parametrize(
    ("rate", "drop", "alpha", "wanted"), [(0.00062, 0.00447, 0.01, 0.8), (0.0087, 0.0022, 0.2, 0.5), (0.0006, 0.018, 0.01, 0.5)]
)  # fmt: skip
def test_a_budget_for_errors_that_are_rare_is_the_least_one_whose_power_stays(
    rate: float, drop: float, alpha: float, wanted: float
) -> None:
    needed = label_budget.labels_needed(rate, drop, alpha, wanted)
    later = np.arange(needed, needed + int(4 / rate))
    assert label_budget._powers(later, rate, drop, alpha).min() >= wanted
    assert label_budget.power(needed - 1, rate, drop, alpha) < wanted


def test_confidence_saves_about_as_much_as_it_explains_and_that_is_little() -> None:
    score, target, _ = rows(12, 4000, 3.0)
    share = label_budget.explained(score.tolist(), target.tolist())
    assert 0.05 < share < 0.25
    assert label_budget.explained([0.5] * 2000, [0.0, 1.0] * 1000) == 0.0
    assert 1 - share < label_budget.still_needed(0.15, 0.03, share) < 1 - 0.7 * share
    helped = [label_budget.power_with_confidence(labels, 0.15, 0.03, 0.05, 0.1) for labels in (400, 800)]
    assert helped == pytest.approx([0.49, 0.74], abs=0.02)  # where labels alone have 47 and 72 %
