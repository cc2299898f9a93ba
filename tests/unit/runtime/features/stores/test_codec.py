"""The bytes of keys, values and times; `tests/integration/features/test_stores_layout.py` holds them against Feast's own."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.runtime.features.stores.codec import (
    KeyCodec,
    decode_moment,
    decode_value,
    encode_moment,
    encode_value,
)
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Key

ONE = KeyCodec([Key(name="user", type="int64")])
TWO = KeyCodec([Key(name="user", type="int64"), Key(name="item", type="string")])
WHOLE = st.integers(-(2**63), 2**63 - 1)


def test_a_key_has_its_columns_by_name_and_then_their_values() -> None:
    columns = b"\x02\0\0\0" + b"\x02\0\0\0\x04\0\0\0item" + b"\x02\0\0\0\x04\0\0\0user"
    values = b"\x02\0\0\0\x02\0\0\0ab" + b"\x04\0\0\0\x08\0\0\0\x07\0\0\0\0\0\0\0"
    assert TWO.encode({"user": 7, "item": "ab"}) == columns + values


@given(st.tuples(WHOLE, st.text()), st.tuples(WHOLE, st.text()), st.binary(max_size=20))
def test_different_keys_are_different_bytes_and_what_follows_is_told_apart(
    one: tuple[int, str], other: tuple[int, str], rest: bytes
) -> None:
    first, second = (TWO.encode({"user": user, "item": item}) for user, item in (one, other))
    assert (first == second) == (one == other)
    assert TWO.split(first + rest) == (first, rest)
    assert ONE.split(first) is None
    assert TWO.split(first[:-1]) is None


@pytest.mark.parametrize("value", ["7", 7.0, True, None, 2**63, -(2**63) - 1])
def test_a_key_of_another_type_is_refused(value: object) -> None:
    with pytest.raises(MlctlError) as caught:
        ONE.encode({"user": value})  # type: ignore[dict-item]
    assert caught.value.diagnostics[0].code == "features.bad-key"


def test_a_key_column_that_is_missing_is_named() -> None:
    with pytest.raises(MlctlError, match="`item` is missing"):
        TWO.encode({"user": 7})


@given(st.floats(allow_nan=False))
def test_a_float_comes_back_bit_by_bit(value: float) -> None:
    back = decode_value(encode_value(value, "float64"))
    assert back is not None
    assert (back, math.copysign(1, back)) == (value, math.copysign(1, value))


@given(WHOLE)
def test_a_whole_number_comes_back(value: int) -> None:
    back = decode_value(encode_value(value, "int64"))
    assert (back, type(back)) == (value, int)


def test_what_is_missing_is_empty_and_not_a_number_stays_what_it_is() -> None:
    assert [encode_value(None, kind) for kind in ("float64", "float32", "int64")] == [b"", b"", b""]  # type: ignore[arg-type]
    assert decode_value(b"") is None
    assert decode_value(None) is None
    assert math.isnan(decode_value(encode_value(math.nan, "float64")) or 0.0)


@pytest.mark.parametrize("data", [b"\x12\x02ab", b"\x29\0", b"\x20\xff", b"\x20" + b"\xff" * 11])
def test_what_is_no_number_is_not_taken_for_one(data: bytes) -> None:
    with pytest.raises(ValueError, match="stored"):
        decode_value(data)


@given(st.integers(-62_135_596_800_000_000, 253_402_300_799_999_999))
def test_a_time_comes_back_to_the_microsecond(moment: int) -> None:
    assert decode_moment(encode_moment(moment)) == moment
