"""Which documents are held back."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mlctl.runtime.trainer.text.split import split_by_time, split_random

TEXTS = st.lists(st.sampled_from("abcdefghij"), min_size=2, max_size=60)


def named(texts: str | list[str]) -> np.ndarray:
    return np.array([text.encode() * 16 for text in texts], dtype="S16")


@given(TEXTS, st.integers(min_value=0, max_value=99))
def test_a_text_and_its_copies_stay_on_one_side(texts: list[str], seed: int) -> None:
    split = split_random(named(texts), 0.3, seed)
    assert {texts[i] for i in split.train}.isdisjoint(texts[i] for i in split.validation)
    assert sorted([*split.train, *split.validation]) == list(range(len(texts)))


def test_the_share_is_that_of_different_texts_and_the_seed_draws_them() -> None:
    texts = [chr(ord("a") + i) for i in range(20)]
    one, again, other = (split_random(named(texts), 0.25, seed) for seed in (1, 1, 2))
    assert len(one.validation) == 5
    assert list(one.validation) == list(again.validation)
    assert list(one.validation) != list(other.validation)


def test_one_text_is_held_back_at_least() -> None:
    assert len(split_random(named("abc"), 0.01, 0).validation) == 1


def test_the_latest_are_held_back_and_copies_of_earlier_texts_left_out() -> None:
    split = split_by_time(named("abcdab"), np.array([1, 2, 3, 4, 5, 6]), 0.5)
    assert (list(split.train), list(split.validation), split.repeated) == ([0, 1, 2], [3], 2)


def test_documents_of_one_time_stay_on_one_side() -> None:
    split = split_by_time(named("abcdef"), np.array([1, 1, 1, 1, 1, 2]), 0.5)
    assert (list(split.train), list(split.validation)) == ([0, 1, 2, 3, 4], [5])
