"""Documents side by side in rows."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.runtime.trainer.text.pack import pack

LENGTHS = st.lists(st.integers(min_value=1, max_value=32), max_size=60)


@given(LENGTHS)
def test_every_document_is_in_one_row_and_no_row_is_too_long(lengths: list[int]) -> None:
    rows = pack(lengths, 32)
    assert sorted(index for row in rows for index in row) == list(range(len(lengths)))
    assert all(sum(lengths[index] for index in row) <= 32 for row in rows)


@given(LENGTHS)
def test_no_two_rows_would_fit_into_one(lengths: list[int]) -> None:
    """What best fit promises: a document opens a row only when none has space for it."""
    filled = sorted(sum(lengths[index] for index in row) for row in pack(lengths, 32))
    assert len(filled) < 2 or filled[0] + filled[1] > 32


def test_a_document_goes_where_the_least_space_is_left() -> None:
    assert pack([6, 7, 3, 4], 10) == [[1, 2], [0, 3]]


def test_of_equal_documents_the_first_comes_first() -> None:
    assert pack([5, 5, 5, 5], 10) == [[0, 1], [2, 3]]


def test_a_document_that_is_longer_than_a_row_is_not_lost_in_silence() -> None:
    with pytest.raises(ValueError, match="11 tokens; a row holds 10"):
        pack([3, 11], 10)
