"""Fields of rules that need more than a type: bounds, members of sets, patterns and queries, judged before anything runs."""

from __future__ import annotations

import math
import re
from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from mlctl.types.jobs.patterns import flavoured
from mlctl.types.units import Share


def distinct(names: list[str]) -> list[str]:
    """Names that come once each."""
    if len(set(names)) < len(names):
        raise ValueError("a column is named twice")
    return names


def _bound(value: object) -> object:
    """A finite number, or the ISO 8601 text of a date or time."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError("a bound is a number, or a date or time such as `2024-01-31`")
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError("a bound must be finite; leave it out for none")
    if isinstance(value, str):
        try:
            datetime.fromisoformat(value)
        except ValueError:
            raise ValueError(
                f"{value!r} is neither a number nor an ISO 8601 date or time such as `2024-01-31T12:00:00`"
            ) from None
    return value


def _member(value: object) -> object:
    """A text, a number, or true or false; one refusal, and not one for each type that it is not."""
    if not isinstance(value, bool | int | float | str):
        raise ValueError("a member of a set is a text, a number, or true or false")
    return value


def ordered(low: int | None, high: int | None, what: str = "`min`, `max`, or both") -> None:
    """Raise ValueError for two bounds of which neither is there, or that no number lies between."""
    if low is None and high is None:
        raise ValueError(f"give {what}")
    if low is not None and high is not None and low > high:
        raise ValueError(f"`min` ({low}) is above `max` ({high}): nothing could pass")


# What Python's expressions have and RE2 has not: looking ahead or behind, references back, possessive and atomic groups.
_TOKEN = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|\(\?P?[<=!>(]?[=!]?|[*+?}]\+|.", re.DOTALL)
_NOT_RE2 = re.compile(r"\\[1-9Z]|\(\?(?:[=!>(].*|<[=!]|P[=>].*)|[*+?}]\+", re.DOTALL)


def portable(pattern: str) -> str:
    """A pattern in the syntax of RE2, as far as can be told without it; the engine that runs it has the last word."""
    for token in _TOKEN.findall(pattern):
        if _NOT_RE2.fullmatch(token):
            raise ValueError(f"`{token}` is not in the syntax of RE2, which has no look-around and no references back")
    try:
        same = flavoured(pattern, "python")
    except ValueError:  # RE2 has what Python has not
        return pattern
    try:
        re.compile(same)
    except re.error as error:
        raise ValueError(f"it is no regular expression: {error}") from None
    return pattern


_SQL_NOISE = re.compile(r"'(?:[^']|'')*'|\"(?:[^\"]|\"\")*\"|--[^\n]*|/\*.*?\*/|\$(\w*)\$.*?\$\1\$", re.DOTALL)


def one_select(query: str) -> str:
    """A query that by its looks is one SELECT; the engine's own parser has the last word."""
    plain = _SQL_NOISE.sub(lambda found: "''" if found[0][0] in "'$" else '"x"' if found[0][0] == '"' else " ", query)
    text = plain.strip()
    if ";" in text.rstrip("; \n\t"):
        raise ValueError("a rule has one statement, and this has several")
    first = re.match(r"[(\s]*(\w*)", text)
    word = first[1].lower() if first is not None else ""
    if word not in ("select", "with", "from", "values"):
        raise ValueError(
            f"a rule's query is a SELECT that returns the offending rows; this begins with `{word or text[:20]}`"
        )
    return query


Columns = Annotated[list[str], Field(min_length=1), AfterValidator(distinct)]
Bound = Annotated[int | float | str, BeforeValidator(_bound)]
Member = Annotated[bool | int | float | str, BeforeValidator(_member)]
Tolerance = Annotated[Share, Field(lt=1)]  # with all rows allowed to break a rule it could not fail
Severity = Literal["error", "warn"]
