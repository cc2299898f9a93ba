"""Counts of distinct values in sliding windows, as changes that are summed up over time."""

# ruff: noqa: S608 (all names are ours)

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from mlctl.runtime.features.inputs import Input, Part
from mlctl.types.jobs.features import FeatureColumn


def distinct_windows(features: Iterable[FeatureColumn], inputs: Mapping[Part, Input]) -> dict[str, list[int]]:
    """The inputs whose distinct values are counted, and over windows of how many steps."""
    found: dict[str, set[int]] = {}
    for item in features:
        if item.aggregate == "count_distinct":
            found.setdefault(inputs[item.column, item.where].name, set()).add(item.window_steps)
    return {name: sorted(windows) for name, windows in found.items()}


def make_gaps(connection: Any, keys: str, name: str) -> None:
    """For each key and value of an input: the steps it was seen in, and for each the step it was next seen in."""
    connection.execute(
        f"CREATE TEMP TABLE gaps_{name} AS SELECT {keys}, step, lead(step) OVER (PARTITION BY {keys}, value ORDER BY step) AS next "
        f"FROM (SELECT DISTINCT {keys}, step, {name} AS value FROM events WHERE {name} IS NOT NULL)"
    )


def delta(name: str, window: int) -> str:
    """The column of changes of a window."""
    return f"delta_{name}_{window}"


def delta_query(keys: str, name: str, windows: Sequence[int], last_step: int) -> str:
    """By how much the distinct counts of some windows change at each step.

    A value seen at step s is in the windows that end at s to s + w - 1. It counts from s on, and stops counting at s + w,
    or at the step it is next seen in, where it starts to count anew: every window counts it once.
    """
    columns = ", ".join(f"1 AS {delta(name, window)}" for window in windows)
    changes = [f"SELECT {keys}, step, {columns} FROM gaps_{name}"]
    for window in windows:
        end = f"least(step + {window}, coalesce(next, step + {window}))"
        changes.append(
            f"SELECT {keys}, {end} AS step, -1 AS {delta(name, window)} FROM gaps_{name} WHERE {end} <= {last_step}"
        )
    sums = ", ".join(f"sum({delta(name, window)}) AS {delta(name, window)}" for window in windows)
    return f"SELECT {keys}, step, {sums} FROM ({' UNION ALL BY NAME '.join(changes)}) GROUP BY {keys}, step"
