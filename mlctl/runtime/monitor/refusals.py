"""How language models decline, by language: patterns of the first words of an answer. A project may bring its own."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

_LOOKED_AT = 300  # characters: whoever refuses says so first


class Refusals:
    """Compiled patterns. Text is looked at without case, and with plain apostrophes."""

    def __init__(self, patterns: Mapping[str, Sequence[str]]) -> None:
        every = [pattern for items in patterns.values() for pattern in items]
        self._any = re.compile("|".join(f"(?:{pattern})" for pattern in every), re.IGNORECASE)

    def __call__(self, answer: str) -> bool:
        """Whether an answer declines."""
        return self._any.search(answer[:_LOOKED_AT].replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")) is not None
