"""How columns of the data become units, moments in time and numbers in SQL, and which ones cannot."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.runtime.profile.database import quote
from mlctl.types.diagnostic import MlctlError, did_you_mean

_WHOLE = ("tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint")
_FRACTIONAL = ("double", "float", "decimal")
SECOND = 1_000_000  # times are microseconds since 1970


def need(column: str, columns: Mapping[str, str], table: str, what: str) -> str:
    """The type of a column, in lower case. Raises MlctlError when there is none of that name."""
    if column not in columns:
        raise MlctlError.of(
            "data.missing-column",
            f"`{table}` has no column `{column}`",
            f"it is {what} of the experiment",
            did_you_mean(column, columns),
        )
    return columns[column].partition("(")[0]


def text_of(column: str, columns: Mapping[str, str], table: str, what: str) -> str:
    """A name or an id as text; a number that lost its type to a missing value, such as 7.0, is 7. Raises MlctlError."""
    found, name = need(column, columns, table, what), quote(column)
    if found in ("varchar", "uuid", "enum", "boolean", *_WHOLE):
        return f"CAST({name} AS VARCHAR)"
    if found in _FRACTIONAL:
        whole = f"abs({name}) < 1e15 AND {name} = floor({name})"
        return f"CASE WHEN {whole} THEN CAST(CAST({name} AS BIGINT) AS VARCHAR) ELSE CAST({name} AS VARCHAR) END"
    raise MlctlError.of(
        "experiment.bad-column",
        f"`{column}` of `{table}` is {found}, and cannot be {what}",
        "an id or a name is a text or a number",
        "name another column",
    )


def time_of(column: str, columns: Mapping[str, str], table: str, *, end_of_day: bool = False) -> str:
    """A time as microseconds since 1970, null where it cannot be read; without a zone it is UTC. Raises MlctlError.

    A date has no time of its day: it counts as the beginning of it, or with `end_of_day` as its end.
    """
    found, name = need(column, columns, table, "the time"), quote(column)
    if found == "date":
        late = f" + {86_400 * SECOND - 1}" if end_of_day else ""
        return f"CASE WHEN isfinite({name}) THEN epoch_us({name}){late} END"
    if found.startswith("timestamp"):
        moment = f"CAST({name} AS TIMESTAMP)" if "_" in found else name
        return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END"
    if found == "varchar":
        moment = f"TRY_CAST({name} AS TIMESTAMPTZ)"
        return f"CASE WHEN isfinite({moment}) THEN epoch_us({moment}) END"
    raise MlctlError.of(
        "experiment.bad-time",
        f"`{column}` of `{table}` is {found}, and no time",
        "outcomes count by when they happened",
        "write times as in ISO 8601, for example 2026-03-01T12:00:00Z",
    )


def number_of(column: str, columns: Mapping[str, str], table: str, metric: str) -> str:
    """A number as a double, null where it is missing or not finite. Raises MlctlError: text is never read as a number."""
    found, name = need(column, columns, table, f"what `{metric}` is made of"), quote(column)
    if found == "boolean":
        return f"CAST({name} AS DOUBLE)"
    if found not in (*_WHOLE, *_FRACTIONAL):
        raise MlctlError.of(
            "experiment.not-a-number",
            f"`{column}` of `{table}` is {found}, and `{metric}` is made of numbers",
            "a reward written as text was counted as nothing by more than one tool, and nobody noticed",
            f"write `{column}` as a number, or name another column",
        )
    return f"CASE WHEN isfinite(CAST({name} AS DOUBLE)) THEN CAST({name} AS DOUBLE) END"
