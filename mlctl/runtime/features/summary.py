"""What is in the snapshots of a view: how much of each feature is there, and how it is spread."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from pathlib import Path

from mlctl.runtime.profile.database import database, own_parquet, quote
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import SummaryParams
from mlctl.types.value import Json

_PORTION = 200  # features in one pass: each wants a sketch for its quantiles


def summarize(params: SummaryParams, report: Report) -> dict[str, Json]:
    """{feature: {"nulls", "min", "max", "mean", "median"}} over all snapshots. Raises MlctlError when they are gone."""
    source = params.source
    if not Path(source.path).is_file():
        raise MlctlError.of(
            "features.snapshot-gone",
            f"the snapshots of {source.view} are gone",
            f"there is no file {source.path}",
            "run `mlctl apply`",
        )
    names, found = list(source.features), {}
    with database(report.folder) as connection:
        for start in range(0, len(names), _PORTION):
            portion = names[start : start + _PORTION]
            report.progress("reading the snapshots", start, len(names), "features")
            fields = ", ".join(
                f"count(*) - count({name}), min({name}), max({name}), avg({name}), approx_quantile({name}, 0.5)"
                for name in map(_number, portion)
            )
            (row,) = connection.execute(f"SELECT {fields} FROM {own_parquet(source.path)}").fetchall()
            for index, name in enumerate(portion):
                nulls, low, high, mean, median = row[5 * index : 5 * index + 5]
                found[name] = {"nulls": nulls, "min": low, "max": high, "mean": mean, "median": median}
    return {"features": found}


def _number(name: str) -> str:
    """A feature as a finite number: what is not one has no place among numbers, and counts as missing."""
    column = f"CAST({quote(name)} AS DOUBLE)"
    return f"(CASE WHEN isfinite({column}) THEN {column} END)"
