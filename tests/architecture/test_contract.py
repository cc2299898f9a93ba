"""Every promise of docs/reference/contract.md has a test that carries its number."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PROMISES = 20


def test_each_promise_has_a_test() -> None:
    kept = {number for path in (ROOT / "tests").rglob("test_*.py") for number in _numbers(path)}
    assert set(range(1, PROMISES + 1)) - kept == set(), "promises without a test"
    assert kept - set(range(1, PROMISES + 1)) == set(), "tests of promises that nobody made"


def test_the_document_lists_as_many() -> None:
    text = (ROOT / "docs/reference/contract.md").read_text()
    assert [int(number) for number in re.findall(r"^(\d+)\. ", text, re.M)] == list(range(1, PROMISES + 1))


def _numbers(path: Path) -> Iterator[int]:
    """The numbers in the `contract` markers of a file of tests."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "pytest.mark.contract":
            yield from (argument.value for argument in node.args if isinstance(argument, ast.Constant))
