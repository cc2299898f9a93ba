from __future__ import annotations

import pytest

from mlctl.runtime.evaluate.answers import answer_metrics


@pytest.mark.parametrize(
    ("expected", "written", "exact", "overlap"),
    [
        ("It is red.", "it is  RED", 1.0, 1.0),
        ("It is red.", "red it is", 0.0, 1.0),
        ("it is red", "it was red today", 0.0, 4 / 7),
        ("red red", "red", 0.0, 2 / 3),
        ("red", "", 0.0, 0.0),
        ("...", "", 1.0, 1.0),
    ],
)
def test_an_answer_is_compared_word_by_word(expected: str, written: str, exact: float, overlap: float) -> None:
    assert answer_metrics([expected], [written]) == pytest.approx({"exact_match": exact, "token_f1": overlap})


def test_figures_are_means_over_the_answers() -> None:
    assert answer_metrics(["a", "b"], ["a", "c"]) == {"exact_match": 0.5, "token_f1": 0.5}


def test_no_answers_give_no_figures() -> None:
    assert answer_metrics([], []) == {}
