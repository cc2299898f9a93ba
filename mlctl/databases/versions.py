"""The content version of a table: short enough for a plan to show, and exact enough to read the same rows again."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mlctl.databases import sql
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.copy import ServerType
from mlctl.types.value import digest

Ask = Callable[[str], Sequence[Any]]  # runs a query and gives its only row

_UP_TO = " rows up to "
_NONE = "no rows"


def of_snapshot(database: ServerType, relation: str, ask: Ask) -> str:
    """`1200 rows, 8c1f...`: of all rows, whatever their order."""
    count, *hashes = ask(sql.snapshot(database, relation))
    return f"{count} rows, {digest([None if item is None else str(item) for item in hashes])[:32]}"


def of_watermark(database: ServerType, relation: str, column: str, ask: Ask, upto: str = "") -> str:
    """`1200 rows up to 2026-01-05 10:00:00+00`. Raises MlctlError for rows without a watermark."""
    count, known, highest = ask(sql.watermark(database, relation, column, upto))
    if known < count:
        raise MlctlError.of(
            "data.null-watermark",
            f"{count - known:,} rows have no `{column}`",
            "such rows can come and go without the watermark moving, so that it does not tell a version",
            "use `version: snapshot`, another column, or a query that leaves those rows out",
        )
    return _NONE if count == 0 else f"{count}{_UP_TO}{highest}"


def highest(version: str) -> str | None:
    """The watermark of a version; None of one without rows."""
    return version.partition(_UP_TO)[2] or None


def count(version: str) -> int | None:
    """How many rows a version has, for progress."""
    number = version.partition(" ")[0]
    return int(number) if number.isdigit() else 0
