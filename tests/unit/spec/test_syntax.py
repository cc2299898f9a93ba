from __future__ import annotations

import pytest

from mlctl.spec.source import Source
from mlctl.types.diagnostic import Diagnostic


def only(text: str) -> Diagnostic:
    (diagnostic,) = Source.of_text("a.yaml", text).diagnostics
    return diagnostic


@pytest.mark.parametrize(
    ("text", "words", "place"),
    [
        ("a: b: c", "a `:` stands where no field can begin", "1:5"),
        ("a: 1\n b: 2\n", "a `:` stands where no field can begin", "2:3"),
        ("a: - b", "a `-` stands where no list can begin", "1:4"),
        ("a: 'b'c", "a field was expected here", "1:7"),
        ("a:\n  - b\n c: 1", "a field was expected here", "3:2"),
        ("- a\nb: c", "another item of the list was expected here", "2:1"),
        ("a: {b: 1\nc: 2", "a `{` is not closed", "1:4"),
        ("a: [1, 2\n", "a `[` is not closed", "1:4"),
        ("a: }", "a value was expected here", "1:4"),
        ("a: 1\nb\n", "this line is no field: it has no `:`", "2:1"),
        ("a: 'x\nb: 1", "a quoted text is not closed", "1:4"),
        ("a: *x", "this `*alias` names an anchor that does not exist", "1:4"),
        ("a: &x 1\nb: &x 2", "this anchor is defined twice", "2:4"),
        ("a: @x", "a value cannot begin with this character", "1:4"),
        ('a: "x\\q"', "this `\\` begins no escape that YAML knows", "1:6"),
        ("a: 1\n---\nb: 1", "a second document begins here", "2:1"),
        ("a: 1\n...\nb: 2", "something stands behind the end of the document", "3:1"),
        ("%YAML 9.9\n---\na: 1", "found incompatible YAML document", "1:1"),
    ],
)
def test_parser_errors_in_plain_words(text: str, words: str, place: str) -> None:
    found = only(text)
    assert (found.code, found.summary) == ("spec.syntax", f"not valid YAML: {words}")
    assert str(found.where) == f"a.yaml:{place}"
    assert found.fix


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("a:\n\tb: 1", "2:1"),
        ("a:\n  b: 1\n\tc: 2", "3:1"),
        ("a:\n  b: |\n\tx\n", "3:1"),
        ("a:\n  \tb: 1\n  c: 2", "2:3"),
    ],
)
def test_tabs_as_indentation(text: str, place: str) -> None:
    found = only(text)
    assert (found.code, str(found.where)) == ("spec.tab", f"a.yaml:{place}")


def test_tabs_elsewhere_are_fine() -> None:
    source = Source.of_text("a.yaml", "a:\t1\t# one\nb: 'x\ty'\n")
    assert source.value == {"a": 1, "b": "x\ty"}
    assert source.diagnostics == []


def test_merge_conflicts_are_called_so() -> None:
    found = only("project: x\n<<<<<<< HEAD\na: 1\n=======\na: 2\n>>>>>>> other\n")
    assert (found.code, str(found.where)) == ("spec.merge-conflict", "a.yaml:2:1")


def test_control_characters_are_named_with_their_place() -> None:
    found = only("a: 1\né: \x1b[31m\n")
    assert found.code == "spec.control-character"
    assert "U+001B" in found.summary
    assert str(found.where) == "a.yaml:2:4"
