"""What is wrong with text that should be something else: numbers with words among them, decimal commas, dates in several forms,
values that differ in spaces or case alone. And rows that the key of a table does not tell apart.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.profile.database import all_rows, literal, one_row, quote

_LOOKED_AT = 1_000_000  # rows
_COLUMNS = 200  # of text, at most
_AT_ONCE = 20
_FOLDED_MAX = 10_000  # distinct texts above which a table of all of them is too large to be held for this
_EXACT_ROWS = 10_000_000  # above it keys are counted to 1-2 %
_MARGIN = 0.05  # by which an approximate count has to fall short before anything is said
_MOSTLY = 0.9
_SHOWN = 40  # characters of a value

_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?"
_COMMA = r"[-+]?(\d+|\d{1,3}(\.\d{3})+),\d+"
_DATES = {
    "2024-01-31": r"\d{4}-\d{1,2}-\d{1,2}([ T].*)?",
    "2024/01/31": r"\d{4}/\d{1,2}/\d{1,2}( .*)?",
    "31/01/2024 or 01/31/2024": r"\d{1,2}/\d{1,2}/\d{4}( .*)?",
    "31.01.2024": r"\d{1,2}\.\d{1,2}\.\d{4}( .*)?",
    "31-01-2024": r"\d{1,2}-\d{1,2}-\d{4}( .*)?",
    "31 Jan 2024": r"\d{1,2}\.? [A-Za-z]{3,9}\.? \d{4}( .*)?",
    "Jan 31, 2024": r"[A-Za-z]{3,9}\.? \d{1,2}, \d{4}( .*)?",
}


def dirty_texts(
    connection: Any, relation: str, columns: Mapping[str, str], statistics: Mapping[str, Mapping[str, Any]], rows: int
) -> dict[str, dict[str, Any]]:
    """Of each text column in which there is something: what, of the first rows."""
    texts = [name for name, found in columns.items() if found == "varchar" and statistics[name]["approx_distinct"]]
    found: dict[str, dict[str, Any]] = {}
    source = relation if rows <= _LOOKED_AT else f"(SELECT * FROM {relation} LIMIT {_LOOKED_AT})"
    for start in range(0, min(len(texts), _COLUMNS), _AT_ONCE):
        some = texts[start : start + _AT_ONCE]
        foldable = {name for name in some if statistics[name]["approx_distinct"] <= _FOLDED_MAX}
        row = one_row(connection, _query(source, some, foldable))
        for i, name in enumerate(some):
            told = _told(row, i, folded=name in foldable)
            if "numbers" in told and told["numbers"] < told["rows"]:
                told["odd"] = _odd(connection, source, name)
            if len(told) > 1:
                found[name] = told
    return found


def repeated_keys(connection: Any, relation: str, key: Sequence[str], rows: int) -> int:
    """How many rows have a key that another row has before them; 0 where that is not sure."""
    names = ", ".join(quote(name) for name in key)
    if rows <= _EXACT_ROWS:
        query = f"SELECT count(*) AS n FROM (SELECT DISTINCT {names} FROM {relation})"
        return max(0, rows - int(one_row(connection, query)["n"]))
    text = " || chr(31) || ".join(f"coalesce({quote(name)}::VARCHAR, chr(30))" for name in key)
    query = f"SELECT approx_count_distinct({text}) AS n FROM {relation}"
    short = rows - int(one_row(connection, query)["n"])
    return short if short > _MARGIN * rows else 0


def _query(source: str, names: Sequence[str], foldable: set[str]) -> str:
    parts = []
    for i, name in enumerate(names):
        value = f"trim({quote(name)})"
        parts.append(f"count({quote(name)}) AS r{i}")
        parts.append(f"{_matching(value, _NUMBER)} AS n{i}")
        parts.append(f"{_matching(value, _COMMA)} AS c{i}")
        parts += [f"{_matching(value, form)} AS d{i}_{place}" for place, form in enumerate(_DATES.values())]
        if name in foldable:
            parts.append(f"count(DISTINCT {quote(name)}) - count(DISTINCT lower({value})) AS f{i}")
    return f"SELECT {', '.join(parts)} FROM {source}"


def _matching(value: str, form: str) -> str:
    return f"count(*) FILTER (regexp_full_match({value}, {literal(form)}))"


def _told(row: Mapping[str, Any], i: int, *, folded: bool) -> dict[str, Any]:
    rows = row[f"r{i}"]
    told: dict[str, Any] = {"rows": rows}
    if not rows:  # all its values are beyond the first rows
        return told
    if row[f"n{i}"] >= _MOSTLY * rows:
        told["numbers"] = row[f"n{i}"]
    elif row[f"c{i}"] and row[f"c{i}"] + row[f"n{i}"] >= _MOSTLY * rows:
        told["commas"] = row[f"c{i}"]
    dates = {form: row[f"d{i}_{place}"] for place, form in enumerate(_DATES) if row[f"d{i}_{place}"]}
    if sum(dates.values()) >= _MOSTLY * rows:
        told["dates"] = dates
    if folded and row[f"f{i}"]:
        told["folded"] = row[f"f{i}"]
    return told


def _odd(connection: Any, source: str, name: str) -> dict[str, Any]:
    """The text that most of the rows without a number have, and how many they are."""
    column = quote(name)
    query = (
        f"SELECT {column} AS value, count(*) AS n FROM {source} WHERE {column} IS NOT NULL AND NOT "
        f"regexp_full_match(trim({column}), {literal(_NUMBER)}) GROUP BY ALL ORDER BY n DESC, value LIMIT 1"
    )
    found = all_rows(connection, query)[0]
    return {"value": found["value"][:_SHOWN], "count": found["n"]}
