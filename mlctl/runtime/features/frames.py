"""Features as SQL windows over the rows of a key: the parts of its steps, changes of distinct counts, and fillers."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Mapping

from mlctl.runtime.features import spread
from mlctl.runtime.features.distinct import delta
from mlctl.runtime.features.inputs import EVENT, Input, Part
from mlctl.runtime.features.partials import Exact, unpacked
from mlctl.runtime.features.sql import key_names
from mlctl.runtime.profile.database import quote
from mlctl.types.jobs.features import EVENT_TIMESTAMP, FeatureColumn, MaterializeParams

SQL_TYPES = {"float64": "DOUBLE", "float32": "FLOAT", "int64": "BIGINT"}
_SO_FAR = "so_far"


class Frames:
    """The windowed sums and extremes that features are computed from, each taken once."""

    def __init__(self, inputs: Mapping[Part, Input], exact: Mapping[str, Exact]) -> None:
        """Start without any."""
        self.inputs = inputs
        self.exact = exact
        self.fields: dict[str, str] = {}  # expression over a window -> the name it gets
        self.stages: list[dict[str, str]] = []  # columns that are computed from them, one set after the other

    def take(self, expression: str, window: int | None) -> str:
        """The name of an aggregate over the window of so many steps, or over all steps so far."""
        name = _SO_FAR if window is None else f"w_{window}"
        return self.fields.setdefault(f"{expression} OVER {name}", f"f_{len(self.fields)}")

    def count(self, part: Part, window: int) -> str:
        """How many values of an input, or events, a window holds."""
        filled = "n" if part == EVENT else f"filled_{self.inputs[part].name}"
        return f"coalesce({self.take(f'sum({filled})', window)}, 0)"

    def sum(self, part: Part, window: int) -> str:
        """The exact sum of an input over a window, null when there is none."""
        return self.take(f"sum(sum_{self.inputs[part].name})", window)

    def feature(self, item: FeatureColumn) -> str:
        """One feature. Empty windows: 0 for sums and counts, null for the rest."""
        part, window = (item.column, item.where), item.window_steps
        if item.aggregate == "ratio":
            return self._ratio(item)
        if item.aggregate == "count":
            return self.count(part, window)
        name = self.inputs[part].name
        if item.aggregate == "count_distinct":
            return f"coalesce({self.take(f'sum({delta(name, window)})', None)}, 0)"
        if item.aggregate == "sum":
            return f"coalesce({self.sum(part, window)}, 0)"
        if item.aggregate == "mean":
            return f"CAST({self.sum(part, window)} AS DOUBLE) / nullif({self.count(part, window)}, 0)"
        if item.aggregate == "std":
            return self._spread(name, self.count(part, window), window)
        if item.aggregate == "last":
            return unpacked(self.inputs[part], self.take(f"max(last_{name})", window))
        return self.take(f"{item.aggregate}({item.aggregate}_{name})", window)

    def _spread(self, name: str, count: str, window: int) -> str:
        """The standard deviation of an input, which takes several steps."""
        sums = [self.take(f"sum({field}_{name})", window) for field in spread.PARTS]
        made = f"spread_{name}_{window}"
        stages = spread.stages(made, count, sums)
        self.stages += [{} for _ in range(len(stages) - len(self.stages))]
        for together, stage in zip(self.stages, stages, strict=True):
            together |= stage
        return spread.spread(made, self.exact[name].power)

    def _ratio(self, item: FeatureColumn) -> str:
        """What the filter takes over all there is; null when there is nothing to divide by."""
        above, below = (item.column, item.where), (item.over, None)
        window = item.window_steps
        upper = self.count(above, window) if item.column is None else f"coalesce({self.sum(above, window)}, 0)"
        lower = self.count(below, window) if item.over is None else self.sum(below, window)
        return f"CAST({upper} AS DOUBLE) / nullif(CAST({lower} AS DOUBLE), 0)"


def snapshot_query(
    params: MaterializeParams, inputs: Mapping[Part, Input], exact: Mapping[str, Exact], keys: str, rows: str
) -> str:
    """The snapshots of a view, sorted by key and time; of several rows of one step, which all have the same values, one."""
    frames = Frames(inputs, exact)
    features = [
        f"CAST({frames.feature(item)} AS {SQL_TYPES[item.dtype]}) AS {quote(item.name)}" for item in params.features
    ]
    windows = [
        f"w_{window} AS (PARTITION BY {keys} ORDER BY step RANGE BETWEEN {window - 1} PRECEDING AND CURRENT ROW)"
        for window in sorted({item.window_steps for item in params.features})
    ]
    windows.append(
        f"{_SO_FAR} AS (PARTITION BY {keys} ORDER BY step RANGE BETWEEN UNBOUNDED PRECEDING AND CURRENT ROW)"
    )
    taken = "".join(f", {expression} AS {name}" for expression, name in frames.fields.items())
    framed = (
        f"SELECT {keys}, step{taken}, row_number() OVER {_SO_FAR} = rank() OVER {_SO_FAR} AS first_of_step "
        f"FROM ({rows}) WINDOW {', '.join(windows)}"
    )
    for stage in frames.stages:
        framed = f"SELECT *, {', '.join(f'{sql} AS {name}' for name, sql in stage.items())} FROM ({framed})"
    named = ", ".join(f"{key} AS {name}" for key, name in zip(keys.split(", "), key_names(params.keys), strict=True))
    moment = f"make_timestamp((step + 1) * {params.grid_seconds * 1_000_000}) AS {EVENT_TIMESTAMP}"
    return f"SELECT {named}, {moment}, {', '.join(features)} FROM ({framed}) WHERE first_of_step ORDER BY {keys}, step"
