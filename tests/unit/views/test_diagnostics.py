from __future__ import annotations

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlctl.types.diagnostic import Diagnostic, Severity, SourceRange
from mlctl.views.human.diagnostics import render
from mlctl.views.human.text import width as columns_of
from mlctl.views.json.diagnostics import to_json

FULL = Diagnostic(
    "spec.unknown-field",
    "unknown field `learning_rat` in training.sentiment",
    "a `training` block has no such field",
    "did you mean `learning_rate`?",
    where=SourceRange("specs/quickstart/mlctl.yaml", 14, 7, 19, "      learning_rat: 2e-5"),
    address="training.sentiment",
)


def at(text: str, column: int, end: int, line: int = 1) -> Diagnostic:
    return Diagnostic("a.b", "it is wrong", where=SourceRange("x.yaml", line, column, end, text))


def snippet(item: Diagnostic, width: int = 100) -> tuple[str, str]:
    """The quoted line and the line of carets."""
    lines = render([item], width=width).splitlines()
    return lines[2], lines[3]


def under(item: Diagnostic, width: int = 100) -> tuple[int, int]:
    """The columns of the terminal that the carets cover."""
    _, marks = snippet(item, width)
    return len(marks) - len(marks.lstrip(" 0123456789|")), len(marks)


def test_the_whole_of_a_diagnostic() -> None:
    assert (
        render([FULL])
        == """\
error[spec.unknown-field]: unknown field `learning_rat` in training.sentiment
  --> specs/quickstart/mlctl.yaml:14:7
14 |       learning_rat: 2e-5
   |       ^^^^^^^^^^^^
why: a `training` block has no such field
fix: did you mean `learning_rate`?
"""
    )


def test_what_is_not_there_takes_no_line_and_a_blank_line_parts_two() -> None:
    warning = Diagnostic("data.empty", "no rows", severity=Severity.WARNING, address="datasets.trips")
    assert render([warning, Diagnostic("a.b", "datasets.trips is empty", address="datasets.trips")]) == (
        "warning[data.empty]: no rows\n  --> datasets.trips\n\nerror[a.b]: datasets.trips is empty\n"
    )
    assert render([]) == ""


def test_colour_changes_nothing_but_colour() -> None:
    plain, colored = render([FULL]), render([FULL], color=True)
    assert "\x1b[" not in plain
    assert "\x1b[1;31merror[spec.unknown-field]\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == plain


def test_several_lines_stay_under_their_label() -> None:
    item = Diagnostic("job.died", "it died", "the end of its log:\nline one\nline \x1b[2Jtwo\n", "see it")
    assert render([item]).splitlines()[1:] == [
        "why: the end of its log:",
        "     line one",
        "     line \\x1b[2Jtwo",
        "fix: see it",
    ]


@pytest.mark.parametrize(
    ("text", "column", "end", "carets"),
    [
        ("a: b", 4, 5, (3, 4)),
        ("日本: b", 5, 6, (6, 7)),
        ("a: 日本", 4, 6, (3, 7)),
        ("\ta: b", 1, 2, (0, 4)),
        ("\t\ta: b", 6, 7, (11, 12)),
        ("e\u0301: b", 5, 6, (3, 4)),
        ("a: \x1bb", 5, 6, (7, 8)),
        ("a: \x1b", 4, 5, (3, 7)),
        ("a:", 3, 4, (2, 3)),
        ("a:", 30, 40, (2, 3)),
    ],
)
def test_carets_stand_under_what_is_meant(text: str, column: int, end: int, carets: tuple[int, int]) -> None:
    start, stop = under(at(text, column, end))
    assert (start - 4, stop - 4) == carets


def test_long_lines_are_cut_around_the_place() -> None:
    text = "a" * 300 + "HERE" + "b" * 300
    quoted, marks = snippet(at(text, 301, 305), width=80)
    assert len(quoted) <= 80
    assert quoted[marks.index("^") : marks.rindex("^") + 1] == "HERE"
    assert quoted.count("…") == 2
    quoted, _ = snippet(at(text, 1, 5), width=80)
    assert quoted.startswith("1 | aaaa")
    assert quoted.endswith("…")


def test_a_line_of_megabytes_costs_nothing() -> None:
    started = time.process_time()
    assert len(render([at("x" * 5_000_000, 2_500_000, 4_000_000)])) < 400
    assert time.process_time() - started < 0.5


_LINES = st.text(alphabet=st.sampled_from("a: -\t日é🚲\x1b\u202e\u0301"), max_size=200)


@given(_LINES, st.integers(1, 220), st.integers(0, 220), st.integers(0, 200))
def test_any_place_in_any_line_fits_the_width(text: str, column: int, length: int, width: int) -> None:
    shown = render([at(text, column, column + length)], width=width)
    lines = shown.splitlines()
    assert all(line.isprintable() for line in lines)
    for line in lines[2:]:
        assert columns_of(line) <= max(width, 40)
    if len(lines) > 2:
        assert lines[3].strip(" |").startswith("^")


def test_json_has_the_same_and_stable_names() -> None:
    assert to_json(FULL) == {
        "type": "diagnostic",
        "severity": "error",
        "code": "spec.unknown-field",
        "summary": "unknown field `learning_rat` in training.sentiment",
        "why": "a `training` block has no such field",
        "fix": "did you mean `learning_rate`?",
        "range": {
            "file": "specs/quickstart/mlctl.yaml",
            "start": {"line": 14, "column": 7},
            "end": {"line": 14, "column": 19},
        },
        "address": "training.sentiment",
    }
    nowhere = to_json(Diagnostic("a.b", "x", severity=Severity.WARNING))
    assert (nowhere["range"], nowhere["address"], nowhere["severity"]) == (None, None, "warning")
