from __future__ import annotations

import json

import pytest

from mlctl.spec.scalars import plain


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("no", "no"),
        ("yes", "yes"),
        ("on", "on"),
        ("off", "off"),
        ("y", "y"),
        ("true", True),
        ("True", True),
        ("FALSE", False),
        ("tRue", "tRue"),
        ("null", None),
        ("~", None),
        ("", None),
        ("Null", None),
        ("nULL", "nULL"),
        ("010", 10),
        ("0o17", 15),
        ("0x1F", 31),
        ("0b11", "0b11"),
        ("-7", -7),
        ("+7", 7),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("12:30:45", "12:30:45"),
        ("2026-01-31", "2026-01-31"),
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2e-5", 2e-5),
        ("1E3", 1000.0),
        ("1e+3", 1000.0),
        (".5", 0.5),
        ("5.", 5.0),
        ("-0.0", -0.0),
        ("1.2.3", "1.2.3"),
        (".", "."),
        ("-", "-"),
        ("+", "+"),
        ("e5", "e5"),
        ("1e", "1e"),
        ("15%", "15%"),
        ("7d", "7d"),
        ("=", "="),
        ("<<", "<<"),
        ("nan", "nan"),
        ("inf", "inf"),
        ("١٢", "١٢"),  # digits, but not ASCII ones
    ],
)
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    found = plain(text)
    assert found == value
    assert type(found) is type(value)
    json.dumps(found, allow_nan=False)


@pytest.mark.parametrize("text", [".inf", "-.INF", ".nan", ".NaN", "1e999", "-1e999", "9" * 301, "0x" + "f" * 301])
def test_numbers_that_cannot_be_stored_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        plain(text)
