"""Columns that stand in the names of folders, as Hive writes them: `year=2024/month=01/x.parquet`."""

from __future__ import annotations

import re
from collections.abc import Collection
from datetime import date
from urllib.parse import unquote

NULL = "__HIVE_DEFAULT_PARTITION__"

_WHOLE = re.compile(r"[+-]?\d{1,18}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")


def values_of(file: str) -> dict[str, str | None]:
    """The columns in a file's folders and their values as text, outermost first; None is NULL.

    The folder of an object of ours, such as `training.churn@lr=0.1`, is no partition: no column's name has an `@`.
    """
    found: dict[str, str | None] = {}
    for folder in file.split("/")[:-1]:
        name, is_partition, value = folder.partition("=")
        if is_partition and name and "@" not in name:
            found[name] = None if value == NULL else unquote(value)
    return found


def type_of(values: Collection[str | None]) -> str:
    """The type of a column of partitions: whole numbers, dates, or text."""
    known = [value for value in values if value is not None]
    if known and all(_WHOLE.fullmatch(value) for value in known):
        return "bigint"
    if known and all(_DATE.fullmatch(value) and _is_date(value) for value in known):
        return "date"
    return "varchar"


def _is_date(text: str) -> bool:
    try:
        date.fromisoformat(text)
    except ValueError:
        return False
    return True
