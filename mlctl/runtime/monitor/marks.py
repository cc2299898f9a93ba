"""What is wrong with a column besides its distribution: it is gone, or its values are of another type, or are missing where no
test counts that. Marked, never ok."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from mlctl.runtime.monitor.window import Categories, Numbers, Window
from mlctl.stats.drift import Method
from mlctl.types.jobs.monitor import SCORE
from mlctl.types.jobs.reference import FrozenReference, NumericColumn

_TOLERATED = 0.01  # of the rows: a few odd ones are left out and counted, and are no reason to doubt the others
_MORE_MISSING = 0.05  # of the rows: what a change of class is worth an alarm from
_SURE = 4.0  # standard errors of the difference of two shares
_COUNT_MISSING = (Method.PSI, Method.JENSEN_SHANNON)


def marks_of(
    reference: FrozenReference,
    columns: Mapping[str, Numbers | Categories],
    window: Window,
    tests: Mapping[str, Sequence[str]],
) -> dict[str, str]:
    """What is odd about each column that has something odd, in words."""
    found = {}
    for name, column in columns.items():
        if name == SCORE:
            continue
        rows = window.with_features
        if rows and column.absent > _TOLERATED * rows:
            found[name] = f"{column.absent} of {rows} predictions do not have the feature"
        elif rows and column.odd > _TOLERATED * rows:
            kind = "numbers" if isinstance(column, Numbers) else "texts"
            found[name] = f"{column.odd} of {rows} values are no {kind}"
        elif isinstance(column, Numbers) and not set(_COUNT_MISSING) & set(tests.get(name, ())):
            frozen = reference.columns.get(name)
            if isinstance(frozen, NumericColumn) and (told := _missing(frozen, column)):
                found[name] = told
    return found


def _missing(frozen: NumericColumn, column: Numbers) -> str:
    """That another share of the values is missing than of the reference's, which tests of the others do not see."""
    rows, before = len(column.values), frozen.rows + frozen.nulls
    if not rows or not before:
        return ""
    missing = sum(map(math.isnan, column.values))
    share, was = missing / rows, frozen.nulls / before
    pooled = (missing + frozen.nulls) / (rows + before)
    error = math.sqrt(pooled * (1 - pooled) * (1 / rows + 1 / before))
    if abs(share - was) < max(_MORE_MISSING, _SURE * error):
        return ""
    return f"{missing} of {rows} values are missing, and {was:.1%} of the reference's were; `psi` tests that"
