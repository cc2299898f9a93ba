"""How near written answers are to those that were expected. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

_WORD = re.compile(r"\w+")


def answer_metrics(expected: Sequence[str], written: Sequence[str]) -> dict[str, float]:
    """The share of answers with the same words in the same order, and the mean overlap of words (F1), both without regard to
    capitals, spaces and punctuation."""
    pairs = [(_words(one), _words(other)) for one, other in zip(expected, written, strict=True)]
    if not pairs:
        return {}
    return {
        "exact_match": sum(one == other for one, other in pairs) / len(pairs),
        "token_f1": sum(_overlap(one, other) for one, other in pairs) / len(pairs),
    }


def _words(text: str) -> list[str]:
    return _WORD.findall(text.casefold())


def _overlap(one: list[str], other: list[str]) -> float:
    """Twice the common words over the words of both; two empty answers agree."""
    if not one and not other:
        return 1.0
    return 2 * sum((Counter(one) & Counter(other)).values()) / (len(one) + len(other))
