"""What a plain YAML scalar means, by the core schema of YAML 1.2: `no`, `12:30` and dates are text, `010` is ten, `2e-5` a number."""

from __future__ import annotations

import math
import re

from mlctl.types.value import Json

_WORDS: dict[str, bool | None] = {
    **dict.fromkeys(("", "~", "null", "Null", "NULL")),
    **dict.fromkeys(("true", "True", "TRUE"), True),
    **dict.fromkeys(("false", "False", "FALSE"), False),
}
_NUMBER_STARTS = frozenset("+-.0123456789")
_INTEGER = re.compile(r"[-+]?[0-9]+")
_BASED = re.compile(r"0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")
_LONGEST_NUMBER = 300


def plain(text: str) -> Json:
    """The value of an unquoted scalar. Raises ValueError for a number that cannot be stored: infinite, NaN or too long."""
    if text in _WORDS:
        return _WORDS[text]
    if text[0] not in _NUMBER_STARTS:
        return text
    if _INTEGER.fullmatch(text):
        return int(_checked(text))
    if _BASED.fullmatch(text):
        return int(_checked(text), 0)
    if _FLOAT.fullmatch(text):
        value = float(text)
        if math.isinf(value):
            raise ValueError("it is larger than any number that can be stored")
        return value
    if _NOT_FINITE.fullmatch(text):
        raise ValueError("infinity and NaN cannot be stored or compared")
    return text


def _checked(text: str) -> str:
    if len(text) > _LONGEST_NUMBER:
        raise ValueError(f"it has more than {_LONGEST_NUMBER} digits")
    return text
