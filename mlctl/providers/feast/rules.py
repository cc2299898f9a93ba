"""What a feature view must hold to: rules of the block alone. Pure; those of the block with its source are in `source_rules`."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.providers.feast.expressions import expression_problems
from mlctl.providers.feast.spec import DAY_SECONDS, Computed, EntitySpec, Feature, FeatureViewSpec
from mlctl.types.diagnostic import Diagnostic, Severity
from mlctl.types.jobs.features import EVENT_TIMESTAMP
from mlctl.types.units import format_duration

_SHORTEST_GRID_SECONDS = 60  # of dense snapshots: every key has a row for each step
_SHORTEST_SPARSE_SECONDS = 1
_FRACTIONS = frozenset({"mean", "std", "ratio"})


def entity_problems(spec: EntitySpec) -> Iterator[Diagnostic]:
    """What is wrong with the key of an entity."""
    if (spec.key is None) == (spec.keys is None):
        yield Diagnostic(
            "features.one-key",
            "an entity has either `key` or `keys`",
            "`key` is one column, `keys` are several with their types",
            "write `key: user_id`, or `keys: {household_id: int64, product_id: int64}`",
            path=("keys",) if spec.keys is not None else (),
        )
    elif spec.keys is not None and "dtype" in spec.model_fields_set:
        yield Diagnostic(
            "features.unused",
            "`dtype` has no effect beside `keys`",
            "each column of `keys` says its own type",
            "remove `dtype`",
            path=("dtype",),
        )
    yield from _same_columns([(key.name, ("keys", key.name)) for key in spec.columns] if spec.keys is not None else [])


def block_problems(spec: FeatureViewSpec) -> Iterator[Diagnostic]:
    """What is wrong with a block whatever its source is."""
    mixed = {feature.aggregate is None for feature in spec.features.values()} == {True, False}
    if mixed:
        yield from _mixed_problems(spec)
        return
    grid_fits = spec.precomputed or _grid_fits(spec)
    if spec.precomputed:
        yield from _unused(spec, ("grid", "snapshots"), "each row of a computed table is known at its own time", ())
    elif not grid_fits:
        yield _bad_grid(spec)
    if spec.ttl is not None:
        yield from _ttl_problems(spec, spec.ttl)
    yield from _same_columns(
        [
            *((name, ("columns", name)) for name in spec.columns),
            *((item.name, ("features", item.block)) for item in spec.computed() if item.name not in spec.columns),
        ]
    )
    for name, feature in spec.features.items():
        path = ("features", name)
        yield from _precomputed_problems(feature, path) if spec.precomputed else _aggregate_problems(feature, path)
    for item in spec.computed():
        yield from _window_problems(spec, item, grid_fits)
    yield from expression_problems(spec)


def _mixed_problems(spec: FeatureViewSpec) -> Iterator[Diagnostic]:
    for name, feature in spec.features.items():
        if feature.aggregate is None:
            yield Diagnostic(
                "features.mixed",
                f"`{name}` has no `aggregate`, and others of the view have one",
                "a view either computes windows over events, or takes the columns of a table that was computed before",
                "give it an `aggregate` and a `window`, or move it to a view of its own",
                path=("features", name),
            )


def _grid_fits(spec: FeatureViewSpec) -> bool:
    shortest = _SHORTEST_SPARSE_SECONDS if spec.snapshots == "sparse" else _SHORTEST_GRID_SECONDS
    return spec.grid >= shortest and spec.grid == int(spec.grid) and DAY_SECONDS % spec.grid == 0


def _bad_grid(spec: FeatureViewSpec) -> Diagnostic:
    most = "second" if spec.snapshots == "sparse" else "minute"
    fix = "use for example `15m`, `1h`, `6h` or `1d`"
    sparse = "; `snapshots: sparse` allows grids down to `1s`" if spec.snapshots == "dense" and spec.grid < 60 else ""
    return Diagnostic(
        "features.bad-grid",
        f"the grid {format_duration(spec.grid)} does not divide a day"
        if DAY_SECONDS % spec.grid
        else f"the grid {format_duration(spec.grid)} is too fine",
        f"snapshots are taken at the same times of every day (UTC), at most once a {most}",
        fix + sparse,
        path=("grid",),
    )


def _ttl_problems(spec: FeatureViewSpec, ttl: float) -> Iterator[Diagnostic]:
    if ttl < 1 or ttl != int(ttl):
        yield Diagnostic(
            "features.bad-ttl",
            "the ttl is not a number of whole seconds",
            "",
            "leave `ttl` out if values do not expire",
            path=("ttl",),
        )
    elif ttl < spec.grid and not spec.precomputed:
        yield Diagnostic(
            "features.ttl-below-grid",
            f"values expire after {format_duration(ttl)}, before the next snapshot is due",
            f"snapshots are {format_duration(spec.grid)} apart, so features are missing for part of that time",
            "use a ttl of at least the grid",
            Severity.WARNING,
            path=("ttl",),
        )


def _same_columns(names: list[tuple[str, tuple[str, ...]]]) -> Iterator[Diagnostic]:
    """Names that would stand for one column. DuckDB tells them apart without regard to case."""
    seen: dict[str, str] = {EVENT_TIMESTAMP: EVENT_TIMESTAMP}
    for name, path in names:
        other = seen.get(name.lower())
        seen.setdefault(name.lower(), name)
        if other is not None:
            reserved = other == EVENT_TIMESTAMP
            yield Diagnostic(
                "features.name-collision",
                f"`{name}` stands for two columns" if name == other else f"`{name}` and `{other}` would be one column",
                f"`{EVENT_TIMESTAMP}` says from when on a row is known"
                if reserved
                else "names of columns are told apart without regard to case",
                "rename it" if reserved else "rename one of them",
                path=path,
            )


def _precomputed_problems(feature: Feature, path: tuple[str, str]) -> Iterator[Diagnostic]:
    why = "without `aggregate` the column is taken as it is"
    yield from _unused(feature, ("window", "windows", "where", "over"), why, path)


def _aggregate_problems(feature: Feature, path: tuple[str, str]) -> Iterator[Diagnostic]:
    aggregate = feature.aggregate
    if feature.column is None and aggregate not in ("count", "ratio"):
        yield Diagnostic(
            "features.no-column",
            f"`{aggregate}` needs a `column`",
            "only `count` can do without one: it counts events",
            "name the column of the source",
            path=path,
        )
    if aggregate != "ratio":
        yield from _unused(feature, ("over",), f"`{aggregate}` has nothing below a line", path)
    elif feature.column is None and feature.where is None and feature.over is None:
        yield Diagnostic(
            "features.no-column",
            "this ratio is always 1",
            "it divides the number of events by itself",
            "say what is above the line by `column` or `where`, and what is below by `over`",
            path=path,
        )
    if (feature.window is None) == (feature.windows is None):
        yield Diagnostic(
            "features.one-window",
            "a feature has either `window` or `windows`",
            "`window: 7d` is one feature of this name, `windows: [7d, 30d]` are two, named after their windows",
            "write one of the two",
            path=path,
        )
    if feature.dtype == "int64" and aggregate in _FRACTIONS:
        yield Diagnostic(
            "features.bad-dtype",
            f"a {aggregate} is not a whole number",
            "",
            "use float64 or float32",
            path=(*path, "dtype"),
        )


def _window_problems(spec: FeatureViewSpec, item: Computed, grid_fits: bool) -> Iterator[Diagnostic]:
    window = item.window
    if not grid_fits or spec.precomputed or window is None:
        return
    if window < spec.grid or window % spec.grid:
        yield Diagnostic(
            "features.window-not-on-grid",
            f"the window {format_duration(window)} is not a multiple of the grid {format_duration(spec.grid)}",
            "windows are put together from whole steps of the grid",
            f"use a multiple of {format_duration(spec.grid)}, or a finer `grid`",
            path=("features", item.block, "window" if item.feature.windows is None else "windows"),
        )


def _unused(
    block: FeatureViewSpec | Feature, names: tuple[str, ...], why: str, path: tuple[str, ...]
) -> Iterator[Diagnostic]:
    for name in names:
        if name in block.model_fields_set and getattr(block, name) is not None:
            yield Diagnostic(
                "features.unused", f"`{name}` has no effect here", why, f"remove `{name}`", path=(*path, name)
            )
