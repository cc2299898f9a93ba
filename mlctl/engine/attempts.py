"""Attempts: how a build whose content has not changed is made once more (ADR 0013).

The content key names a build, so a second one of the same content needs another key: the number of the attempt is made
part of it. The first attempt has none. The newest attempt is the one that is asked for; the one before it serves until
then, and is a build like any other that the project no longer asks for.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlctl.provider import Desired
from mlctl.types.state import Record
from mlctl.types.value import Unknown, digest

PART = "attempt"


def newest(desired: Desired, records: Sequence[Record], *, anew: bool = False) -> Desired:
    """What is asked for as its newest attempt among the records of the address or, `anew`, as the attempt after it."""
    content = desired.identity
    if isinstance(content, Unknown):
        return desired
    numbers = [_number(record) for record in records if record.key.identity == _identity(content, _number(record))]
    last = max(numbers, default=0) + anew
    if last <= 1:
        return desired
    return replace(desired, parts={**desired.parts, PART: str(last)}, identity=_identity(content, last))


def _identity(content: str, attempt: int) -> str:
    """The identity of an attempt at a content, which is named by the identity of its first one."""
    return content if attempt == 1 else digest([content, attempt])[: len(content)]


def _number(record: Record) -> int:
    text = record.parts.get(PART, "1")
    return int(text) if text.isdecimal() else 1
