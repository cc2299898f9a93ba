"""On-demand features of a prediction log, computed again by the functions that serving called."""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.features.log_rows import FEATURES, REQUEST, REQUEST_ID, ROW
from mlctl.runtime.features.transform import Loaded, load
from mlctl.runtime.features.values import difference, rank
from mlctl.runtime.profile.database import own_parquet, quote
from mlctl.types.jobs.features import LogParityParams, keys_of
from mlctl.types.jobs.parity import FeatureSkew, SkewedRow

_PORTION = 20_000


@dataclass
class _Count:
    """What was found of one feature so far."""

    compared: int = 0
    wrong: int = 0
    nulls: int = 0
    largest: float = 0.0
    worst: list[SkewedRow] = field(default_factory=list)


def compare_transformed(
    connection: Any, params: LogParityParams, joined: Path, worst: int
) -> tuple[list[FeatureSkew], list[SkewedRow]]:
    """Compute every on-demand feature of the model from what its function was given, and compare. Raises MlctlError.

    An input that the model reads too is in the log, and is judged on its own: the function gets it as it was served. Any
    other one it gets as it is recomputed.
    """
    loaded = load(params.transformations)
    counts = {
        name: _Count() for item in loaded for name in item.transformation.features if name in set(params.features)
    }
    if not counts:
        return [], []
    keys = [key.name for key in keys_of(params.sources)]
    for rows in _portions(connection, joined):
        for item in loaded:
            made = item.apply({name: _column(item, name, rows) for name in item.reads})
            for name in counts.keys() & made.keys():
                _judge(name, counts[name], rows, made[name], keys, params.tolerance, worst)
    skews = [
        FeatureSkew(
            feature=name,
            view=item.transformation.view,
            compared=counts[name].compared,
            stale=0,
            mismatched=counts[name].wrong,
            null_mismatches=counts[name].nulls,
            max_relative=counts[name].largest,
        )
        for item in loaded
        for name in item.transformation.features
        if name in counts
    ]
    return skews, [row for count in counts.values() for row in count.worst]


def _portions(connection: Any, joined: Path) -> Iterator[list[dict[str, Any]]]:
    result = connection.execute(f"SELECT * FROM {own_parquet(str(joined))} ORDER BY {quote(ROW)}")
    names = [item[0] for item in result.description]
    while rows := result.fetchmany(_PORTION):
        yield [dict(zip(names, row, strict=True)) for row in rows]


def _column(item: Loaded, name: str, rows: list[dict[str, Any]]) -> Any:
    """One input of a function: what the request brought, what was served, or what is recomputed."""
    if name in item.transformation.request:
        return np.array([_number((row[REQUEST] or {}).get(name)) for row in rows], dtype=np.float64)
    return np.array(
        [
            _number(row[FEATURES][name])
            if name in row[FEATURES]
            else (math.nan if row.get(name) is None else row[name])
            for row in rows
        ],
        dtype=np.float64,
    )


def _number(text: str | None) -> float:
    return math.nan if text is None else float(text)


def _judge(
    name: str, count: _Count, rows: list[dict[str, Any]], made: Any, keys: list[str], tolerance: float, worst: int
) -> None:
    for row, expected in zip(rows, made, strict=True):
        if name not in row[FEATURES]:
            continue
        count.compared += 1
        served = _number(row[FEATURES][name])
        found = difference([row[key] for key in keys], name, float(expected), served)
        if found is None or (found.relative is not None and found.relative <= tolerance):
            continue
        count.wrong += 1
        count.nulls += found.relative is None
        count.largest = max(count.largest, found.relative or 0.0)
        if len(count.worst) < worst or rank(found) > (count.worst[-1].relative or 0.0):
            entry = SkewedRow(
                request_id=row[REQUEST_ID],
                ts=f"{row['mlctl_at'].isoformat()}+00:00",
                key={key: row[key] for key in keys},
                feature=name,
                served=found.online,
                expected=found.offline,
                relative=found.relative,
            )
            count.worst = sorted(
                [*count.worst, entry], key=lambda item: -(math.inf if item.relative is None else item.relative)
            )[:worst]
