from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.views.human.text import safe, safe_lines, width


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("日本 é 🚲", "日本 é 🚲"),
        ("\x1b[31mred\x07", "\\x1b[31mred\\x07"),
        ("a\tb\r\n", "a\\tb\\r\\n"),
        ("\u202eabc", "\\u202eabc"),
        ("\x9b31m", "\\x9b31m"),
        ("a\u00a0b", "a\\xa0b"),
        ("\U000e0041", "\\U000e0041"),
        ("\ud800", "\\ud800"),
    ],
)
def test_nothing_of_a_file_can_steer_the_terminal(text: str, shown: str) -> None:
    assert safe(text) == shown


def test_lines_stay_lines() -> None:
    assert safe_lines("a\n\x1bb") == "a\n\\x1bb"


@given(st.text())
def test_safe_text_is_printable_and_says_it_once(text: str) -> None:
    assert safe(text).isprintable()
    assert safe(safe(text)) == safe(text)


@pytest.mark.parametrize(("text", "columns"), [("abc", 3), ("日本", 4), ("e\u0301", 1), ("🚲", 2), ("é", 1), ("", 0)])
def test_columns_on_a_terminal(text: str, columns: int) -> None:
    assert width(text) == columns
