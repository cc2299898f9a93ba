"""Agreement beyond chance against public values and statsmodels, and rates that hold what they say."""

import random

import pytest

from mlctl.stats.kappa import LEAST_LABELS, Agreement


def test_kappa_is_that_of_the_textbook_and_its_error_that_of_statsmodels() -> None:
    from statsmodels.stats.inter_rater import cohens_kappa

    found = Agreement(20, 5, 10, 15).kappa()  # the table of Wikipedia's article: 0.4
    assert found is not None
    assert found[0] == pytest.approx(0.4)
    for cells in ((20, 5, 10, 15), (80, 3, 9, 41), (1, 2, 3, 90)):
        oracle = cohens_kappa([[cells[0], cells[1]], [cells[2], cells[3]]])
        kappa = Agreement(*cells).kappa()
        assert kappa is not None
        assert kappa == pytest.approx((oracle.kappa, oracle.std_kappa))


def test_a_judge_may_alarm_with_enough_labels_and_enough_agreement_and_not_with_one_of_them() -> None:
    assert Agreement(50, 10, 10, 50).trusted()  # 0.67 on 120
    assert not Agreement(50, 15, 15, 50).trusted()  # 0.54 on 130
    assert not Agreement(45, 3, 3, 45).trusted()  # 0.88 on 96
    assert Agreement(45, 5, 5, 45).rows == LEAST_LABELS
    assert Agreement(45, 5, 5, 45).trusted()


def test_a_judge_who_always_says_the_same_agrees_with_nobody() -> None:
    assert Agreement(100, 50, 0, 0).kappa() == pytest.approx((0.0, 0.0))
    assert Agreement(150, 0, 0, 0).kappa() is None
    assert not Agreement(150, 0, 0, 0).trusted()
    assert Agreement(100, 50, 0, 0).corrected(10, 20) is None
    assert Agreement.of([], []).kappa() is None


def test_a_rate_is_put_right_for_what_the_judge_gets_wrong() -> None:
    # sensitivity 0.9, specificity 0.8: of 70 % that pass, 0.7 * 0.9 + 0.3 * 0.2 = 69 % are judged to
    found = Agreement(90, 20, 10, 80).corrected(690, 1000)
    assert found is not None
    assert found[0] == pytest.approx(0.7)
    assert found[1] < 0.7 < found[2]


@pytest.mark.parametrize(
    ("labels", "sensitivity", "specificity", "rate"), [(100, 0.9, 0.8, 0.7), (150, 0.85, 0.95, 0.9)]
)
def test_the_interval_holds_the_true_rate_as_often_as_it_says(
    labels: int, sensitivity: float, specificity: float, rate: float
) -> None:
    draw = random.Random(20_261_122)
    held = total = 0
    for _ in range(400):
        people = [draw.random() < 0.5 for _ in range(labels)]
        judged = [draw.random() < (sensitivity if good else 1 - specificity) for good in people]
        chance = rate * sensitivity + (1 - rate) * (1 - specificity)
        found = Agreement.of(judged, people).corrected(sum(draw.random() < chance for _ in range(150)), 150)
        if found is not None:
            total += 1
            held += found[1] <= rate <= found[2]
    assert total > 390
    assert held / total >= 0.93  # 0.95, less what 400 streams leave open
