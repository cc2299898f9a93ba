"""When two answers to one request are the same."""

from typing import Any

import pytest

from mlctl.rollout.shadow import answered, difference


def line(code: int = 200, **figures: Any) -> dict[str, Any]:
    return {"code": code, "latency_seconds": 0.01, **figures}


@pytest.mark.parametrize(
    ("one", "copy"),
    [
        ({"score": 0.31, "prediction": False}, {"score": 0.35, "prediction": False}),  # the same decision
        ({"prediction": 1234.5}, {"prediction": 1234.5000001}),
        ({"score": 0.25}, {"score": 0.2500000001}),
        ({"prediction": [0.1, 2]}, {"prediction": [0.1000000001, 2]}),
        ({"prediction": float("nan")}, {"prediction": float("nan")}),
        ({"answer_digest": "ab"}, {"answer_digest": "ab"}),
        ({"prediction": "cat"}, {"prediction": "cat"}),
    ],
)
def test_the_same_answer(one: dict[str, Any], copy: dict[str, Any]) -> None:
    assert difference(answered([line(**one)]), answered([line(**copy)])) is None


@pytest.mark.parametrize(
    ("one", "copy", "told"),
    [
        ({"score": 0.5, "prediction": False}, {"score": 0.5, "prediction": True}, "True instead of False"),
        ({"prediction": 10.0}, {"prediction": 10.01}, "10.01 instead of 10.0"),
        ({"prediction": [1, 2]}, {"prediction": [1, 2, 3]}, "instead of"),
        ({"answer_digest": "ab"}, {"answer_digest": "cd"}, "'cd' instead of 'ab'"),
        ({"prediction": 1}, {"prediction": None, "score": None}, "None instead of 1"),
    ],
)
def test_another_answer(one: dict[str, Any], copy: dict[str, Any], told: str) -> None:
    assert told in (difference(answered([line(**one)]), answered([line(**copy)])) or "")


def test_a_copy_without_an_answer_differs_and_so_does_one_with_fewer_predictions() -> None:
    one = answered([line(prediction=1), line(prediction=2)])
    assert difference(one, answered([line(code=500)])) == "code 500 instead of 200"
    assert difference(one, answered([line(prediction=1)])) == "1 predictions instead of 2"
    assert difference(one, answered([line(prediction=1), line(prediction=3)])) == "prediction 1: 3 instead of 2"
