"""What the features of a view take from an event: each column under each filter is one input, shared by all windows over it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mlctl.runtime.features.expression import embed
from mlctl.runtime.profile.database import quote
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.features import INTEGER_TYPES, FeatureColumn

Part = tuple[str | None, str | None]  # a column (None for the event itself) and a filter

EVENT: Part = (None, None)
SUMMED = frozenset({"sum", "mean"})
_WHOLE = INTEGER_TYPES | {"boolean", "ubigint", "hugeint", "uhugeint"}
_FLOATS = ("float", "double")


@dataclass(frozen=True, slots=True)
class Input:
    """One column of the events table, and how the features look at it: `uses` holds aggregates, a ratio being two of them."""

    name: str
    label: str  # the column of the project
    sql: str
    kind: str
    uses: frozenset[str]

    @property
    def whole(self) -> bool:
        """Whether the values are whole numbers."""
        return self.kind in _WHOLE

    @property
    def integer(self) -> bool:
        """Whether every value fits 64 bits as a whole number."""
        return self.kind in INTEGER_TYPES or self.kind == "boolean"

    @property
    def floats(self) -> bool:
        """Whether the values are floating point numbers, which may be NaN or infinite."""
        return self.kind in _FLOATS

    @property
    def numeric(self) -> bool:
        """Whether some feature computes with the values, and does not only tell them apart."""
        return bool(self.uses - {"count", "count_distinct"})


def parts_of(item: FeatureColumn) -> list[tuple[Part, str]]:
    """The inputs of a feature and how it uses each; those of a ratio are the numerator and the denominator."""
    if item.aggregate == "ratio":
        return [
            ((item.column, item.where), "count" if item.column is None else "sum"),
            ((item.over, None), "count" if item.over is None else "sum"),
        ]
    return [((item.column, item.where), str(item.aggregate))]


def inputs_of(features: Sequence[FeatureColumn], types: Mapping[str, str]) -> dict[Part, Input]:
    """Every input that the features need, by column and filter; the plain event is none. Raises MlctlError for types that do not fit."""
    uses: dict[Part, set[str]] = {}
    for item in features:
        for part, use in parts_of(item):
            if part != EVENT:
                uses.setdefault(part, set()).add(use)
    check_types(features, types)
    return {
        part: Input(
            f"c_{index}",
            str(part[0]),
            _sql(part, types),
            "integer" if part[0] is None else types[part[0]],
            frozenset(used),
        )
        for index, (part, used) in enumerate(uses.items())
    }


def check_types(features: Sequence[FeatureColumn], types: Mapping[str, str]) -> None:
    """Raise MlctlError for columns of a wrong type, with every problem."""
    problems = [problem for item in features for problem in _type_problems(item, types)]
    if problems:
        raise MlctlError(problems)


def _sql(part: Part, types: Mapping[str, str]) -> str:
    """The value of an event, null where the filter does not take it."""
    column, where = part
    if column is None:
        value = "1"
    elif types[column] in _FLOATS:
        value = f"CAST({quote(column)} AS DOUBLE) + 0.0"  # of the two zeros, one
    elif types[column] == "boolean":
        value = f"CAST({quote(column)} AS INTEGER)"
    else:
        value = quote(column)
    return value if where is None else f"CASE WHEN {embed(where)} THEN {value} END"


def _type_problems(item: FeatureColumn, types: Mapping[str, str]) -> list[Diagnostic]:
    """What a feature asks of columns of the wrong type; those of expressions are known only here."""
    problems = []
    for (column, _), use in parts_of(item):
        if column is None or use in ("count", "count_distinct"):
            continue
        kind = types[column]
        if kind not in _WHOLE and kind not in _FLOATS and not kind.startswith("decimal"):
            reader = (
                f"the feature `{item.name}`"
                if item.aggregate is None
                else f"`{item.aggregate}` of the feature `{item.name}`"
            )
            summary = f"`{column}` is {kind}; {reader} needs numbers"
            fix = "use a CAST" if item.aggregate is None else "use `count` or `count_distinct`, or a CAST"
            problems.append(Diagnostic("features.not-numeric", summary, "", fix))
        elif item.dtype == "int64" and kind not in _WHOLE and use != "count":
            summary = f"`{column}` is {kind} and would be rounded to int64 in the feature `{item.name}`"
            fix = "use float64 or float32, or CAST the column to BIGINT in an expression"
            problems.append(Diagnostic("features.bad-dtype", summary, "features are never rounded silently", fix))
    return problems
