"""A table of features that somebody computed already: each of its rows is a snapshot at its own time."""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

from collections.abc import Sequence

from mlctl.runtime.features.frames import SQL_TYPES
from mlctl.runtime.features.sql import key_names
from mlctl.runtime.profile.database import quote
from mlctl.types.jobs.features import EVENT_TIMESTAMP, FeatureColumn, MaterializeParams


def snapshot_values(features: Sequence[FeatureColumn]) -> dict[str, str]:
    """What is picked from a row, by the names that `precomputed_query` reads. What is not a finite number is missing."""
    return {f"f_{index}": _value(quote(str(item.column)), SQL_TYPES[item.dtype]) for index, item in enumerate(features)}


def _value(column: str, kind: str) -> str:
    return f"CASE WHEN isfinite(CAST({column} AS DOUBLE)) THEN CAST({column} AS {kind}) END"


def precomputed_query(params: MaterializeParams, known: str) -> str:
    """The snapshots of a precomputed source, sorted by key and time.

    Of several rows of one key and moment the one with the largest values stands, compared feature by feature in the order
    of their names with a missing value as the smallest: which one it is does not depend on the order of rows.
    """
    keys = ", ".join(f"k_{index}" for index in range(len(params.keys)))
    named = ", ".join(f"k_{index} AS {name}" for index, name in enumerate(key_names(params.keys)))
    fields = {item.name: f"f_{index}" for index, item in enumerate(params.features)}
    order = ", ".join(f"{fields[name]} DESC NULLS LAST" for name in sorted(fields))
    values = ", ".join(f"{field} AS {quote(name)}" for name, field in fields.items())
    return (
        f"SELECT {named}, moment AS {EVENT_TIMESTAMP}, {values} FROM ({known}) "
        f"QUALIFY row_number() OVER (PARTITION BY {keys}, moment ORDER BY {order}) = 1 ORDER BY {keys}, moment"
    )
