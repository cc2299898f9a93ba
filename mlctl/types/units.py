"""Durations and percentages as people write them in a project file, and how far a count may go."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import BeforeValidator, PlainSerializer, WithJsonSchema

MOST = 2**31  # of a count stays below: what libraries in C, and torch, count with
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d|w)")


def parse_duration(text: object) -> float:
    """Seconds of `7d`, `90s`, `1.5h`, `5ms`. A plain number is refused: it has no unit. Raises ValueError."""
    if isinstance(text, str) and (match := _DURATION.fullmatch(text.strip())) and len(match[1]) <= 15:
        return float(match[1]) * _UNITS[match[2]]
    raise ValueError(
        f"{text!r} is not a duration; write a number and a unit, for example `5ms`, `60s`, `10m`, `6h`, `7d`, `2w`"
    )


def counted(number: int, noun: str) -> str:
    """`1 row`, `2 rows`, `1,200 rows`."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def format_duration(seconds: float) -> str:
    """The shortest exact way to write seconds as a duration: 604800 is `7d`, 90 is `90s`."""
    for unit in ("d", "h", "m", "s"):
        amount = seconds / _UNITS[unit]
        if amount >= 1 and amount == int(amount):
            return f"{int(amount)}{unit}"
    return f"{seconds * 1000:g}ms"


def parse_share(text: object) -> float:
    """A share between 0 and 1, written `15%` or `0.15`. Raises ValueError."""
    value: float | None = None
    if isinstance(text, str) and text.strip().endswith("%"):
        value = float(text.strip()[:-1]) / 100
    elif isinstance(text, int | float) and not isinstance(text, bool):
        value = float(text)
    if value is None or not 0 <= value <= 1:
        raise ValueError(f"{text!r} is not a share; write `15%` or `0.15`")
    return value


# In a spec: `ttl: Duration` takes `7d` and holds seconds; it goes into state as the canonical text, so `7d` and `168h` are the same.
Duration = Annotated[
    float,
    BeforeValidator(parse_duration),
    PlainSerializer(format_duration, return_type=str),
    WithJsonSchema({"type": "string", "pattern": f"^\\s*{_DURATION.pattern}\\s*$", "examples": ["60s", "7d"]}),
]
Share = Annotated[
    float,
    BeforeValidator(parse_share),
    WithJsonSchema(
        {
            "anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, {"type": "string", "pattern": "^[^%]+%\\s*$"}],
            "examples": ["15%", 0.15],
        }
    ),
]
