"""`${section.name.output}` inside text: found, and replaced by the output once it is known."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.types.address import FULL_NAME, Address
from mlctl.types.value import Json, Unknown

EXPRESSION = re.compile(r"\$\{([^${}]*)\}")
_OUTPUT = re.compile(rf"([a-z][a-z0-9_]*)\.({FULL_NAME.pattern})\.([A-Za-z_][A-Za-z0-9_]*)")


def expressions(value: Json, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every `${...}` in a tree of values, as (path, inner text)."""
    if isinstance(value, str):
        if "${" in value:
            yield from ((path, match[1]) for match in EXPRESSION.finditer(value))
    elif isinstance(value, Mapping):
        for name, item in value.items():
            yield from expressions(item, (*path, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from expressions(item, (*path, index))


def is_well_formed(text: str) -> bool:
    """Whether every `${` of a text begins a whole expression, with its `}`."""
    return text.count("${") == sum(1 for _ in EXPRESSION.finditer(text))


def output_reference(inner: str) -> tuple[Address, str] | None:
    """The address and output that the inside of an expression names, or None when it has another shape."""
    match = _OUTPUT.fullmatch(inner.strip())
    return None if match is None else (Address(match[1], match[2]), match[3])


def substitute(value: Any, outputs: Mapping[Address, Mapping[str, Json] | Unknown]) -> Any:
    """The same tree with expressions replaced. Text around an expression is kept; one that is not known makes its text Unknown.

    Raises KeyError with `section.name.output` for an output that does not exist.
    """
    if isinstance(value, str):
        return _substitute_text(value, outputs) if "${" in value else value
    if isinstance(value, Mapping):
        return {name: substitute(item, outputs) for name, item in value.items()}
    if isinstance(value, list):
        return [substitute(item, outputs) for item in value]
    return value


def _substitute_text(text: str, outputs: Mapping[Address, Mapping[str, Json] | Unknown]) -> Json | Unknown:
    pieces: list[str] = []
    end = 0
    for match in EXPRESSION.finditer(text):
        reference = output_reference(match[1])
        if reference is None:
            raise KeyError(match[1])
        address, name = reference
        known = outputs[address]
        if isinstance(known, Unknown):
            return Unknown(f"{address}.{name}")
        if name not in known:
            raise KeyError(f"{address}.{name}")
        if match.span() == (0, len(text)):
            return known[name]
        pieces += [text[end : match.start()], str(known[name])]
        end = match.end()
    return "".join(pieces) + text[end:]
