"""The standard deviation of a sliding window, exact to the last digits and the same whatever the order of events.

The sum of squares of a window is put together from its steps (Chan, Golub and LeVeque 1979): for each step the squares
around the step's own mean, and the step's count times the square of the distance between its mean and the window's.
Sums of squares around zero, or around one mean for all time, would lose the spread of small values beside large ones.
"""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

from typing import Any

from mlctl.runtime.profile.database import quote

# The mean of equal values can be off by this share of itself, and a spread below it is the error of the mean.
_MEAN_ROUNDING = 1e-15


def make_moments(connection: Any, name: str, decimal: str) -> None:
    """For each key and step with a value of a column: their count, mean, and sum of squares around that mean.

    Reads `events` and `partials`; `decimal` is a type that holds the sum of all squares.
    """
    value, total, filled = quote("c_" + name), quote("sum_" + name), quote("filled_" + name)
    connection.execute(
        f"CREATE TEMP TABLE {quote('moments_' + name)} AS "
        f"SELECT key, step, n, mean, sum(CAST((value - mean) * (value - mean) AS {decimal})) AS square "
        f"FROM (SELECT key, step, CAST({value} AS DOUBLE) AS value FROM events WHERE {value} IS NOT NULL) "
        f"JOIN (SELECT key, step, {filled} AS n, CAST({total} AS DOUBLE) / {filled} AS mean FROM partials WHERE {filled} > 0) "
        f"USING (key, step) GROUP BY key, step, n, mean"
    )


def make_spread(connection: Any, table: str, name: str, window_steps: int, decimal: str) -> None:
    """A table of `key`, `step` and `std`: the sample standard deviation of the window that ends with the step.

    Windows of fewer than two values are not in it. Reads `grid`, `partials` and the moments of the column; its cost is
    the number of steps with events times the steps of the window.
    """
    total, filled = quote("sum_" + name), quote("filled_" + name)
    over = f"OVER (PARTITION BY key ORDER BY step ROWS BETWEEN {window_steps - 1} PRECEDING AND CURRENT ROW)"
    whole = (
        f"SELECT key, step, sum({filled}) {over} AS count, CAST(sum({total}) {over} AS DOUBLE) / sum({filled}) {over} AS center "
        "FROM grid LEFT JOIN partials USING (key, step)"
    )
    reach = f"SELECT key, unnest(range(step, step + {window_steps})) AS step, n, mean, square FROM {quote('moments_' + name)}"
    squares = f"CAST(sum(square + CAST(n * (mean - center) * (mean - center) AS {decimal})) AS DOUBLE)"
    connection.execute(
        f"CREATE TEMP TABLE {quote(table)} AS "
        f"SELECT key, step, CASE WHEN std <= {_MEAN_ROUNDING} * abs(center) THEN 0 ELSE std END AS std FROM ("
        f"SELECT key, step, center, sqrt({squares} / (count - 1)) AS std "
        f"FROM ({reach}) JOIN ({whole}) USING (key, step) WHERE count > 1 GROUP BY key, step, count, center)"
    )
