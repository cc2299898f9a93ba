"""Test each column of a window against the reference."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mlctl.runtime.monitor.window import Categories, Numbers, category
from mlctl.stats import drift
from mlctl.stats.drift import Comparison, Method
from mlctl.types.jobs.monitor import Profile, ProfileColumn


def compare(
    profile: Profile, column: ProfileColumn, current: Numbers | Categories, methods: Sequence[str], min_rows: int
) -> dict[Method, Comparison]:
    """Each method's finding. A test of fewer than `min_rows` rows is not computed: the decision will not look at it."""
    if isinstance(current, Numbers):
        return {Method(method): _numbers(profile, column, current, Method(method), min_rows) for method in methods}
    return {
        Method(method): _categories(profile, column, current.counts, Method(method), min_rows) for method in methods
    }


def present(current: Numbers) -> Any:
    """The values of a numeric column, without the missing ones, as an array."""
    values = np.frombuffer(current.values, dtype=np.float64) if len(current.values) else np.empty(0)
    return values[~np.isnan(values)]


def _numbers(profile: Profile, column: ProfileColumn, current: Numbers, method: Method, min_rows: int) -> Comparison:
    reference, values = np.asarray(column.sample, dtype=np.float64), present(current)
    rows = len(current.values) if method is Method.PSI else len(values)
    if rows < min_rows:
        return Comparison(0.0, 0.0, 1.0, len(reference), rows)
    if method is Method.KS:
        return drift.ks(reference, values)
    if method is Method.WASSERSTEIN:
        return drift.wasserstein(reference, values)
    borders = drift.cuts(reference)
    missing = (
        len(reference) * column.nulls / max(profile.rows - column.nulls, 1)
    )  # the sample was drawn from rows that have a value
    return drift.psi(drift.counts(reference, borders, missing), drift.counts(values, borders, rows - len(values)))


def _categories(
    profile: Profile, column: ProfileColumn, counts: Mapping[str | None, int], method: Method, min_rows: int
) -> Comparison:
    rows = sum(counts.values())
    if rows < min_rows:
        return Comparison(0.0, 0.0, 1.0, profile.rows, rows)
    reference = reference_counts(profile, column)
    names = [name for name in reference if name is not _OTHER]
    before = [*(reference[name] for name in names), reference[_OTHER]]
    now = [*(float(counts.get(name, 0)) for name in names), float(rows - sum(counts.get(name, 0) for name in names))]
    return drift.psi(before, now) if method is Method.PSI else drift.chi_square(before, now)


_OTHER = "\0other"  # categories that the profile does not list, among them those that are new


def reference_counts(profile: Profile, column: ProfileColumn) -> dict[str | None, float]:
    """Rows of the reference by category, missing ones under None, and those that the profile leaves out."""
    shares: dict[str | None, float] = {}
    for name, share in column.categories.items():
        shares[category(name)] = shares.get(category(name), 0.0) + share
    nulls = column.nulls / profile.rows
    total = sum(shares.values())
    # shares may be of all rows or of those that have a value; only the former leave exactly room for the missing ones
    scale = 1.0 if abs(total - (1 - nulls)) < 1e-6 else 1 - nulls
    found: dict[str | None, float] = {name: profile.rows * share * scale for name, share in shares.items()}
    found[None] = float(column.nulls)
    found[_OTHER] = max(profile.rows - sum(found.values()), 0.0)
    return found
