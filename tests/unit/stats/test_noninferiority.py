"""Guardrails: the published figures, few hits and none, and sizes that have the power they say."""

import math
import random

import numpy as np
import pytest

from mlctl.stats.arm_metrics import Estimate, Moments, estimate
from mlctl.stats.noninferiority import Margin, guardrail, share_size, within
from mlctl.stats.sequential import tail

CONTROL, TREATMENT = Moments(10_000, 1000, 1000), Moments(10_000, 985, 985)
HALF_POINT = Margin(absolute=0.005, better="higher")


def test_walds_reference() -> None:
    """1,000 and 985 of 10,000 with a margin of 0.005: test_proportions_2indep of statsmodels with `wald`."""
    z = within(estimate("proportion", CONTROL), estimate("proportion", TREATMENT), HALF_POINT)
    assert z == pytest.approx(0.82773, abs=1e-4)
    assert tail(z) == pytest.approx(0.20391, abs=3e-5)


def test_shares_are_tested_by_likelihood_near_the_score_test() -> None:
    """The score test gives 0.82763; half a hit of correction takes a little off."""
    z = guardrail("proportion", CONTROL, TREATMENT, HALF_POINT)[1]
    assert z == pytest.approx(0.82763, abs=0.02)
    assert z < 0.82763


@pytest.mark.parametrize(("units", "shown"), [(50, False), (500, False), (5000, True)])
def test_no_error_at_all_shows_nothing_with_few_units(units: int, shown: bool) -> None:
    margin = Margin(absolute=0.002)
    _, share = guardrail("proportion", Moments(units), Moments(units), margin)
    sessions = Moments(units, d=float(units), dd=float(units))
    _, ratio = guardrail("ratio", sessions, sessions, margin)
    assert (share > 1.96, ratio > 1.96) == (shown, shown)


def test_a_ratio_of_what_control_has() -> None:
    control, treatment = Estimate(0.2, 0.002, 5000), Estimate(0.21, 0.002, 5000)
    z = within(control, treatment, Margin(ratio=1.1))
    assert z == pytest.approx((0.22 - 0.21) / math.hypot(1.1 * 0.002, 0.002), rel=1e-3)
    assert within(control, Estimate(0.23, 0.002, 5000), Margin(ratio=1.1)) < -3
    assert within(Estimate(5, 0.1, 99), Estimate(4.9, 0.1, 99), Margin(ratio=1.1, better="higher")) > 1.96
    assert within(Estimate(5, 0, 99), Estimate(5, 0, 99), Margin(ratio=1.1)) == 0.0


@pytest.mark.parametrize(
    ("baseline", "margin", "ratio"),
    [
        (0.05, Margin(absolute=0.02), 1.0),
        (0.05, Margin(absolute=0.02), 0.25),
        (0.1, Margin(ratio=1.3), 1.0),
        (0.5, Margin(ratio=1.1, better="higher"), 1.0),
    ],
)
def test_sizes_have_their_power_and_a_broken_one_passes_with_alpha_at_most(
    baseline: float, margin: Margin, ratio: float
) -> None:
    numpy = pytest.importorskip("numpy")
    generator, runs = numpy.random.default_rng(5), 1500
    units = math.ceil(share_size(baseline, margin, 0.025, 0.9, ratio))
    others = math.ceil(ratio * units)

    def kept(rate: float) -> float:
        controls, treated = generator.binomial(units, baseline, runs), generator.binomial(others, rate, runs)
        z = [
            guardrail("proportion", Moments(units, c, c), Moments(others, t, t), margin)[1]
            for c, t in zip(controls.tolist(), treated.tolist(), strict=True)
        ]
        return sum(one >= 1.959964 for one in z) / runs

    assert kept(baseline) == pytest.approx(0.9, abs=0.03)
    assert kept(margin.edge(baseline)) <= 0.025 + 0.012  # three standard errors


def test_a_guardrail_that_is_broken_is_shown_to_be() -> None:
    source = random.Random(3)
    control = Moments.of([source.gauss(1, 0.3) for _ in range(800)])
    treatment = Moments.of([source.gauss(1.3, 0.3) for _ in range(800)])
    assert guardrail("mean", control, treatment, Margin(ratio=1.1))[1] < -5


def tries(number: int, hits: int, each: int = 1) -> Moments:
    """Units with as many tries each, which were all hits or none."""
    return Moments(number, each * hits, each**2 * hits, each * number, each**2 * number, each**2 * hits)


def test_a_rate_of_one_try_a_unit_is_a_share_and_alike_tries_tell_no_more() -> None:
    margin = Margin(absolute=0.01)
    share = guardrail("proportion", Moments(2000, 40, 40), Moments(2000, 38, 38), margin)[1]
    assert guardrail("ratio", tries(2000, 40), tries(2000, 38), margin)[1] == pytest.approx(share, rel=1e-3)
    assert guardrail("ratio", tries(2000, 40, 7), tries(2000, 38, 7), margin)[1] == pytest.approx(share, rel=1e-3)


@pytest.mark.parametrize(
    ("units", "rate", "margin", "alike"),
    [(1000, 0.0001, 0.002, 0.0), (200, 0.0005, 0.005, 0.0), (100, 0.01, 0.02, 0.0), (1000, 0.02, 0.02, 0.3)],
)
def test_a_treatment_with_too_many_errors_is_hardly_ever_kept_however_few_there_are(
    units: int, rate: float, margin: float, alike: float
) -> None:
    """Wald's statistic kept up to a tenth of them, at a level of 2.5 %."""
    draw, kept, number = np.random.default_rng(5), 0, 1500

    def arm(chance: float) -> Moments:
        each = np.maximum(1, draw.poisson(3, units))
        own = draw.beta(chance * (1 / alike - 1), (1 - chance) * (1 / alike - 1), units) if alike else chance
        hits = draw.binomial(each, own)
        return Moments.of([float(one) for one in hits], [float(one) for one in each])

    for _ in range(number):
        kept += guardrail("ratio", arm(rate), arm(rate + margin), Margin(absolute=margin))[1] > 1.96
    assert kept / number < 0.025 + 3 * math.sqrt(0.025 * 0.975 / number)


def test_a_mean_of_seconds_is_no_rate_and_keeps_its_own_spread() -> None:
    """Each request takes 0.1 s, give or take 0.01: hits among tries with such a share would spread thirty times as much."""
    draw = random.Random(3)
    seconds = [[draw.gauss(0.1, 0.01) for _ in range(300)] for _ in range(2)]
    left, right = (Moments.of(one, [1.0] * 300) for one in seconds)
    found, z = guardrail("ratio", left, right, Margin(absolute=0.01))
    assert z == within(found.control, found.treatment, Margin(absolute=0.01))
    assert z > 6
