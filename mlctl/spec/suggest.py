"""Values and names as messages show them, and did-you-mean within a bound of work."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

from mlctl.types.diagnostic import did_you_mean

_LONGEST_SHOWN = 60
_COMPARISONS = 100_000


def shown(text: str) -> str:
    """A text in backticks, cut when it is long."""
    return f"`{text if len(text) <= _LONGEST_SHOWN else text[: _LONGEST_SHOWN - 1] + '…'}`"


def found(value: Any) -> str:
    """What stands in a field, in plain words."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "`true`" if value else "`false`"
    if isinstance(value, int | float):
        return f"the number {shown(repr(value))}"
    if isinstance(value, str):
        return f"the text {shown(value)}"
    return "a list" if isinstance(value, list | tuple) else "a block"


def joined(names: Collection[str], word: str = "or") -> str:
    """`a`, `b` or `c`."""
    quoted = [shown(name) for name in names]
    return quoted[0] if len(quoted) == 1 else f"{', '.join(quoted[:-1])} {word} {quoted[-1]}"


class Suggestions:
    """Did-you-mean for one load. Comparing words is quadratic, so that it stops when a file is wrong all over."""

    def __init__(self) -> None:
        self._left = _COMPARISONS

    def __call__(self, word: str, known: Collection[str]) -> str:
        """`did you mean `x`?`, or the few names there are, or nothing."""
        if len(word) > _LONGEST_SHOWN or not known or self._left < len(known):
            return ""
        self._left -= len(known)
        return did_you_mean(word, known)
