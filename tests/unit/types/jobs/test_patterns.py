"""Patterns in the flavours of the engines: what RE2 matches as a whole, and nothing else."""

from __future__ import annotations

import re

import pytest

from mlctl.types.jobs.patterns import Flavour, flavoured


def matches(pattern: str, text: str) -> bool:
    return re.search(r"\A" + flavoured(pattern, "python"), text) is not None


@pytest.mark.parametrize(
    ("pattern", "whole", "not_whole"),
    [
        (r"[A-Z]-\d{3}", "A-001", "A-0011"),
        (r"a|ab", "ab", "abc"),
        (r"\d+", "12", "1\u0662"),  # an Arabic digit is none to RE2
        (r"\w+", "a_1", "é"),
        (r"\s", "\f", "\v"),
        (r"\S\D\W", "ab!", "a1!"),
        (r"[^\d]x", "ax", "1x"),
        (r".+", "ab", "a\n"),
        (r"(?s).+", "a\n", ""),
        (r"(?i)straße", "STRAßE", "strasse"),
        (r"(?is)a.b", "A\nB", "A\nC"),
        (r"a$", "a", "a\n"),
        (r"[[:alpha:]]+[[:punct:]]", "ab!", "1!"),
        (r"[]a]+", "]a", "b"),
        (r"[&&|~[]+", "&|[", "a"),
        (r"\x41\x{1F44D}", "A👍", "a👍"),
        (r"(?P<year>\d{4})-(?:x|y)", "2024-x", "2024-z"),
        (r"a{,2}", "a{,2}", "aa"),  # no repetition in RE2
        (r"a{2,}?b", "aab", "ab"),
        (r"x\.\-\_", "x.-_", "xy-_"),
        (r"\bok\b", "ok", "okk"),
        (r"\Aa\z", "a", "a\n"),
        (r"(?i:a)b", "Ab", "AB"),
        (r"a}", "a}", "a"),
    ],
)
def test_python_finds_what_re2_matches(pattern: str, whole: str, not_whole: str) -> None:
    assert matches(pattern, whole)
    assert not matches(pattern, not_whole)


@pytest.mark.parametrize(
    ("flavour", "expected"),
    [
        ("re2", r"^(?:(?i)\d(a|b).$)$"),
        ("python", r"(?i:[0-9](?:a|b).\Z)\Z"),
        ("java", r"(?diu)^(?:[0-9](?:a|b).\z)\z"),
        ("postgres", "(?i)^(?:[0-9](?:a|b)[^\n]\\Z)$"),
    ],
)
def test_every_flavour_says_it_in_its_own_words(flavour: Flavour, expected: str) -> None:
    assert flavoured(r"(?i)\d(a|b).$", flavour) == expected


@pytest.mark.parametrize(
    ("pattern", "flavour"),
    [
        (r"(?i)a", "snowflake"), (r"(?i:a)", "postgres"), (r"\bok", "postgres"), (r"\bok", "java"), (r"\pL", "python"),
        (r"a(?=b)", "python"), (r"a(?<!b)", "java"), (r"a*+", "java"), (r"a+*", "python"), (r"(a)\1", "python"), (r"[[:no:]]", "java"),
        (r"[a", "python"), ("a\\", "python"), (r"\Aa", "snowflake"), (r"[\D]", "postgres"),
    ],
)  # fmt: skip
def test_what_a_flavour_cannot_say_is_refused(pattern: str, flavour: Flavour) -> None:
    with pytest.raises(ValueError, match=r"."):
        flavoured(pattern, flavour)


def test_a_group_catches_nothing() -> None:
    """The library warns of groups that catch, once for each rule."""
    assert re.compile(flavoured("(a)(?P<b>c)", "python")).groups == 0
