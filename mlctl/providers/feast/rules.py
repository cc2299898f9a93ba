"""What a feature view must hold to: rules of the block alone, and of the block with its source and entity. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from mlctl.providers.feast.spec import DAY_SECONDS, Feature, FeatureViewSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, Severity, did_you_mean
from mlctl.types.jobs.features import EVENT_TIMESTAMP, INTEGER_TYPES, key_type_of
from mlctl.types.units import format_duration
from mlctl.types.value import Json

_SHORTEST_GRID_SECONDS = 60
_WHOLE = INTEGER_TYPES | {"boolean"}
_NUMERIC = _WHOLE | {"ubigint", "hugeint", "uhugeint", "float", "double"}


def block_problems(spec: FeatureViewSpec) -> Iterator[Diagnostic]:
    """What is wrong with a block whatever its source is."""
    grid_fits = spec.grid >= _SHORTEST_GRID_SECONDS and spec.grid == int(spec.grid) and DAY_SECONDS % spec.grid == 0
    if not grid_fits:
        yield Diagnostic(
            "features.bad-grid",
            f"the grid {format_duration(spec.grid)} does not divide a day",
            "snapshots are taken at the same times of every day (UTC), at most once a minute",
            "use for example `15m`, `1h`, `6h` or `1d`",
            path=("grid",),
        )
    if spec.ttl is not None:
        yield from _ttl_problems(spec, spec.ttl)
    seen: dict[str, str] = {}
    for name, feature in spec.features.items():
        path = ("features", name)
        if name.lower() == EVENT_TIMESTAMP or name.lower() in seen:
            other = seen.get(name.lower(), EVENT_TIMESTAMP)
            yield Diagnostic(
                "features.name-collision",
                f"`{name}` and `{other}` would be one column",
                "names of columns are told apart without regard to case",
                "rename the feature",
                path=path,
            )
        seen[name.lower()] = name
        yield from _feature_problems(spec, feature, path, grid_fits)


def _ttl_problems(spec: FeatureViewSpec, ttl: float) -> Iterator[Diagnostic]:
    if ttl < 1 or ttl != int(ttl):
        yield Diagnostic(
            "features.bad-ttl",
            "the ttl is not a number of whole seconds",
            "",
            "leave `ttl` out if values do not expire",
            path=("ttl",),
        )
    elif ttl < spec.grid:
        yield Diagnostic(
            "features.ttl-below-grid",
            f"values expire after {format_duration(ttl)}, before the next snapshot is due",
            f"snapshots are {format_duration(spec.grid)} apart, so features are missing for part of that time",
            "use a ttl of at least the grid",
            Severity.WARNING,
            path=("ttl",),
        )


def _feature_problems(
    spec: FeatureViewSpec, feature: Feature, path: tuple[str, str], grid_fits: bool
) -> Iterator[Diagnostic]:
    if feature.column is None and feature.aggregate != "count":
        yield Diagnostic(
            "features.no-column",
            f"`{feature.aggregate}` needs a `column`",
            "only `count` can do without one: it counts events",
            "name the column of the source",
            path=path,
        )
    if grid_fits and (feature.window < spec.grid or feature.window % spec.grid):
        yield Diagnostic(
            "features.window-not-on-grid",
            f"the window {format_duration(feature.window)} is not a multiple of the grid {format_duration(spec.grid)}",
            "windows are put together from whole steps of the grid",
            f"use a multiple of {format_duration(spec.grid)}, or a finer `grid`",
            path=(*path, "window"),
        )
    if feature.dtype == "int64" and feature.aggregate in ("mean", "std"):
        yield Diagnostic(
            "features.bad-dtype",
            f"a {feature.aggregate} is not a whole number",
            "",
            "use float64 or float32",
            path=(*path, "dtype"),
        )


def source_problems(
    spec: FeatureViewSpec, entity: Mapping[str, Json], dataset: Mapping[str, Json], address: Address
) -> Iterator[Diagnostic]:
    """What is wrong with a view given the outputs of its entity and its data set."""
    columns: Mapping[str, str] = dataset["columns"]
    timestamp, key = dataset["timestamp"], entity["join_key"]
    where = str(address)
    if timestamp is None:
        yield Diagnostic(
            "features.no-timestamp",
            f"the source `{spec.source}` has no timestamp",
            "windows need to know when each event happened",
            f"give `datasets.{spec.source}` a `timestamp`",
            address=where,
            path=("source",),
        )
    elif not columns[timestamp].startswith(("timestamp", "date")):
        yield Diagnostic(
            "features.not-a-timestamp",
            f"`{timestamp}` of `{spec.source}` is {columns[timestamp]}, not a timestamp",
            "",
            "write it as a timestamp or a date",
            address=where,
            path=("source",),
        )
    if key not in columns:
        yield Diagnostic(
            "data.missing-column",
            f"the source `{spec.source}` has no column `{key}`",
            f"it is the key of the entity `{spec.entity}`",
            did_you_mean(key, columns),
            address=where,
            path=("entity",),
        )
    elif key_type_of(columns[key]) != entity["dtype"]:
        yield Diagnostic(
            "features.key-type",
            f"`{key}` is {columns[key]} in `{spec.source}` and the entity `{spec.entity}` says {entity['dtype']}",
            "keys of two types never match",
            "change the `dtype` of the entity, or the type of the column",
            address=where,
            path=("entity",),
        )
    for name, feature in spec.features.items():
        if name.lower() == key.lower():
            yield Diagnostic(
                "features.name-collision",
                f"`{name}` is the key of the entity",
                "a name stands for one column",
                "rename the feature",
                address=where,
                path=("features", name),
            )
        if feature.column is not None:
            yield from _column_problems(spec, name, feature, feature.column, columns, where)


def _column_problems(
    spec: FeatureViewSpec, name: str, feature: Feature, column: str, columns: Mapping[str, str], where: str
) -> Iterator[Diagnostic]:
    path = ("features", name, "column")
    if column not in columns:
        yield Diagnostic(
            "data.missing-column",
            f"the source `{spec.source}` has no column `{column}`",
            f"the feature `{name}` is computed from it",
            did_you_mean(column, columns),
            address=where,
            path=path,
        )
        return
    kind = columns[column]
    if feature.aggregate in ("count", "count_distinct"):
        return
    if kind not in _NUMERIC and not kind.startswith("decimal"):
        yield Diagnostic(
            "features.not-numeric",
            f"`{column}` is {kind}; `{feature.aggregate}` needs numbers",
            "",
            "use `count` or `count_distinct`, or another column",
            address=where,
            path=path,
        )
    elif feature.dtype == "int64" and kind not in _WHOLE:
        yield Diagnostic(
            "features.bad-dtype",
            f"`{column}` is {kind} and would be rounded to int64",
            "features are never rounded silently",
            "use float64 or float32",
            address=where,
            path=("features", name, "dtype"),
        )
