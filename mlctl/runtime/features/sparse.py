"""At which steps a key has a snapshot: at all of its grid, or only where one of its values may change.

Both are rows without events that are laid between the steps that have some. Windows are taken over all rows of a key, so
a sparse view has at each of its steps what the dense one has there.
"""

# ruff: noqa: S608 (all names are ours)

from __future__ import annotations

from collections.abc import Collection

from mlctl.types.diagnostic import MlctlError

MAX_SNAPSHOT_ROWS = 1_000_000_000


def fillers(keys: str, last_step: int, windows: Collection[int], *, sparse: bool) -> str:
    """The steps of a view between or after those of `partials`, as a query of the keys and `step`; some may come twice.

    Dense: every step up to the last of the source. Sparse: those at which an event leaves a window, so many steps after it.
    """
    if not sparse:
        gaps = f"SELECT {keys}, step, lead(step, 1, {last_step + 1}) OVER (PARTITION BY {keys} ORDER BY step) AS next FROM partials"
        return f"SELECT {keys}, unnest(range(step + 1, next)) AS step FROM ({gaps}) WHERE next > step + 1"
    leaving = (
        f"SELECT {keys}, step + {window} AS step FROM partials WHERE step <= {last_step - window}"
        for window in sorted(windows)
    )
    return " UNION ALL ".join(leaving)


def count_query(keys: str, last_step: int, windows: Collection[int], *, sparse: bool) -> str:
    """How many snapshots there will be, or may be at most when they are sparse."""
    if sparse:
        return f"SELECT {1 + len(windows)} * count(*) FROM partials"
    firsts = f"SELECT min(step) AS first FROM partials GROUP BY {keys}"
    return f"SELECT CAST(sum({last_step} - first + 1) AS BIGINT) FROM ({firsts})"


def refuse_too_many(view: str, rows: int, grid_seconds: int, *, sparse: bool) -> None:
    """Raise MlctlError when the snapshots would not fit any disk."""
    if rows <= MAX_SNAPSHOT_ROWS:
        return
    every = "at which a value may change" if sparse else f"of {grid_seconds} s since the key's first event"
    raise MlctlError.of(
        "features.grid-too-fine",
        f"{view} would have {rows:,} snapshots",
        f"one for each key and each step {every}; the limit is {MAX_SNAPSHOT_ROWS:,}",
        "use a larger `grid`, or `snapshots: sparse`, or check the source for a timestamp that is far too early",
    )
