"""What kind of values a DuckDB type holds, and how a column of it is read, the same way for profiles, bins and checks."""

from __future__ import annotations

from mlctl.runtime.profile.database import quote

_INTEGERS = frozenset(
    {"tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint"}
)
_FLOATS = frozenset({"float", "double"})
_NESTED = ("struct", "map", "union")

NUMBERS = ("integer", "float", "decimal")


def family(found: str) -> str:
    """What kind of values a DuckDB type (lower case) holds: integer, float, decimal, time, text, boolean or other."""
    if found in _INTEGERS:
        return "integer"
    if found in _FLOATS:
        return "float"
    if nested(found):
        return "other"
    if found.startswith("decimal"):
        return "decimal"
    if found == "date" or found.startswith("timestamp"):
        return "time"
    if found == "varchar" or found.startswith("enum"):
        return "text"
    return "boolean" if found == "boolean" else "other"


def nested(found: str) -> bool:
    """Whether a DuckDB type (lower case) holds values inside of values, which are looked at as JSON text."""
    return found == "json" or found.endswith("]") or found.startswith(_NESTED)


def value(name: str, found: str) -> str:
    """A column in SQL, with NaN as NULL."""
    column = quote(name)
    return f"CASE WHEN NOT isnan({column}) THEN {column} END" if family(found) == "float" else column
