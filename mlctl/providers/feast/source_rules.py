"""What a feature view must hold to given the outputs of its entity and its data set. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping

from mlctl.providers.feast.spec import COUNTS, Feature, FeatureViewSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic, did_you_mean
from mlctl.types.jobs.features import INTEGER_TYPES, key_type_of
from mlctl.types.value import Json

_WHOLE = INTEGER_TYPES | {"boolean"}
_NUMERIC = _WHOLE | {"ubigint", "hugeint", "uhugeint", "float", "double"}


def source_problems(
    spec: FeatureViewSpec, entity: Mapping[str, Json], dataset: Mapping[str, Json], address: Address
) -> Iterator[Diagnostic]:
    """What is wrong with a view given the outputs of its entity and its data set. Expressions are looked at by the worker."""
    columns: Mapping[str, str] = dataset["columns"]
    where = str(address)
    yield from _time_problems(spec, columns, dataset["timestamp"], where)
    for key in entity["keys"]:
        yield from _key_problems(spec, key["name"], key["type"], columns, where)
    yield from _name_problems(spec, {key["name"].lower() for key in entity["keys"]}, columns, where)
    for name, feature in spec.features.items():
        column = name if spec.precomputed and feature.column is None else feature.column
        for field, read in (("column", column), ("over", feature.over)):
            if read is not None and read not in spec.columns:
                yield from _column_problems(spec, name, feature, field, read, columns, where)


def _time_problems(
    spec: FeatureViewSpec, columns: Mapping[str, str], timestamp: str | None, where: str
) -> Iterator[Diagnostic]:
    if timestamp is None:
        yield Diagnostic(
            "features.no-timestamp",
            f"the source `{spec.source}` has no timestamp",
            "features need to know when each row happened, or was known",
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


def _key_problems(
    spec: FeatureViewSpec, key: str, kind: str, columns: Mapping[str, str], where: str
) -> Iterator[Diagnostic]:
    if key not in columns:
        yield Diagnostic(
            "data.missing-column",
            f"the source `{spec.source}` has no column `{key}`",
            f"it is the key of the entity `{spec.entity}`",
            did_you_mean(key, columns),
            address=where,
            path=("entity",),
        )
    elif key_type_of(columns[key]) != kind:
        yield Diagnostic(
            "features.key-type",
            f"`{key}` is {columns[key]} in `{spec.source}` and the entity `{spec.entity}` says {kind}",
            "keys of two types never match",
            "change the type in the entity, or the type of the column",
            address=where,
            path=("entity",),
        )


def _name_problems(
    spec: FeatureViewSpec, keys: Collection[str], columns: Mapping[str, str], where: str
) -> Iterator[Diagnostic]:
    """Names of features and expressions that stand for something else already."""
    for item in spec.computed():
        if item.name.lower() in keys:
            yield _taken(item.name, "the key of the entity", where, ("features", item.block))
    there = {name.lower(): name for name in columns}
    for name in spec.columns:
        if name.lower() in there:
            yield _taken(name, f"a column of `{spec.source}`", where, ("columns", name))


def _taken(name: str, what: str, where: str, path: tuple[str, ...]) -> Diagnostic:
    return Diagnostic(
        "features.name-collision",
        f"`{name}` is {what}",
        "a name stands for one column",
        "rename it",
        address=where,
        path=path,
    )


def _column_problems(
    spec: FeatureViewSpec,
    name: str,
    feature: Feature,
    field: str,
    column: str,
    columns: Mapping[str, str],
    where: str,
) -> Iterator[Diagnostic]:
    path = ("features", name, field) if getattr(feature, field) is not None else ("features", name)
    if column not in columns:
        yield Diagnostic(
            "data.missing-column",
            f"the source `{spec.source}` has no column `{column}`",
            f"the feature `{name}` is computed from it",
            did_you_mean(column, [*columns, *spec.columns]),
            address=where,
            path=path,
        )
        return
    kind = columns[column]
    if feature.aggregate in COUNTS:
        return
    if kind not in _NUMERIC and not kind.startswith("decimal"):
        yield Diagnostic(
            "features.not-numeric",
            f"`{column}` is {kind}; {f'`{feature.aggregate}`' if feature.aggregate else 'a feature'} needs numbers",
            "",
            "use `count` or `count_distinct`, another column, or a number made of it under `columns`",
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
