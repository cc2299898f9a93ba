"""What a table must have to be learnt from. The plan asks it of what is known of a dataset, the worker of the rows: the words are the same."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from mlctl.types.diagnostic import Diagnostic, did_you_mean

# DuckDB's types that a model reads, without their parameters.
_NUMBERS = frozenset({
    "tinyint", "smallint", "integer", "bigint", "hugeint", "utinyint", "usmallint", "uinteger", "ubigint", "uhugeint", "float", "double",
    "decimal", "boolean",
})  # fmt: skip
THRESHOLD = 0.5  # of a score from which on it says 1
_FEW_CLASSES = 20  # as many whole values as a target of classes may well have
_ROWS_OF_CLASS = 5  # on average; amounts of a handful of rows are few, too
_INDEX = re.compile(r"__index_level_[0-9]+__")  # what pandas writes of an index that has no name


def own_features(columns: Iterable[str], others: Iterable[str | None]) -> list[str]:
    """The columns of a table that are learnt from where none are named: all but key, time, target and the index of a data frame."""
    left_out = set(others)
    return [name for name in sorted(columns) if name not in left_out and not _INDEX.fullmatch(name)]


def is_number(found: str) -> bool:
    """Whether a model reads a column of a DuckDB type."""
    return found.split("(")[0] in _NUMBERS


def is_whole(found: str) -> bool:
    """Whether a DuckDB type holds whole numbers only."""
    return found.endswith(("int", "integer"))


def missing_column(dataset: str, column: str, why: str, known: Iterable[str]) -> Diagnostic:
    """A column that was named and is not there."""
    return Diagnostic("data.missing-column", f"`{dataset}` has no column `{column}`", why, did_you_mean(column, known))


def no_rows(dataset: str) -> Diagnostic:
    """A table of nothing but names."""
    return Diagnostic(
        "training.no-rows",
        f"`{dataset}` has no rows",
        "there is nothing to learn from",
        "check the data that the dataset names",
    )


def no_features(dataset: str) -> Diagnostic:
    """A table that has nothing beside key, time and target."""
    return Diagnostic(
        "training.no-features",
        f"`{dataset}` has no columns left to learn from",
        "key, time and target are not features",
        "name feature views under `data.features`",
    )


def target_missing(dataset: str, target: str, missing: int, rows: int) -> Diagnostic:
    """Rows that nobody knows the answer of."""
    return Diagnostic(
        "training.target-missing",
        f"{missing:,} of {rows:,} rows of `{dataset}` have no `{target}`",
        "a row without its target can neither be learnt from nor judged",
        "drop these rows from the dataset, or fill them in",
    )


def not_binary(target: str, odd: Iterable[float]) -> Diagnostic:
    """A target of two classes that holds other values."""
    return Diagnostic(
        "training.not-binary",
        f"`{target}` is not 0 or 1 throughout",
        f"it holds {', '.join(f'{value:g}' for value in odd)}",
        "set `task: regression`, or make the target 0 and 1",
    )


def one_class(target: str, value: float, rows: int, which: str) -> Diagnostic:
    """Rows that are all of one class."""
    return Diagnostic(
        "training.one-class",
        f"all {rows:,} {which} have `{target}` = {value:g}",
        "nothing can be learnt from one class",
        "check the labels, and the split",
    )


def not_numeric(
    types: Mapping[str, str], chosen: Sequence[str], target: str, *, given: bool, empty: Iterable[str] = ()
) -> Iterator[Diagnostic]:
    """Columns that no model reads. `given` says that they were named, `empty` which are known to have no value in any row."""
    text = [name for name in dict.fromkeys([*chosen, target]) if name in types and not is_number(types[name])]
    if not text:
        return
    without = set(empty)
    shown = ", ".join(f"`{name}` ({'no value in any row' if name in without else types[name]})" for name in text)
    left = ", ".join(name for name in chosen if name not in text)
    fix = (
        "take them out, or turn them into numbers first"
        if given or not left or target in text
        else f"list the columns to learn from: `columns: [{left}]`"
    )
    yield Diagnostic("training.not-numeric", f"not numbers: {shown}", "the model reads numbers and booleans only", fix)


def all_null(statistics: Mapping[str, Any], rows: int | None) -> list[str]:
    """The columns that are known to have no value in any row."""
    known = {name: item for name, item in statistics.items() if isinstance(item, Mapping)}
    return [name for name, item in known.items() if rows and item.get("nulls") == rows]


def may_be_classes(values: int, rows: int | None) -> bool:
    """Whether so many distinct whole values of a target look like classes."""
    return 0 < values <= _FEW_CLASSES and (rows is None or rows >= _ROWS_OF_CLASS * values)


def few_classes(target: str, values: int) -> str:
    """The warning of a regression that nobody asked for, on what looks like classes."""
    return (
        f"`{target}` has {values} whole values, and `task: regression (inferred)` takes them for amounts; if they are classes, "
        "make a target of 0 and 1 of each, else write `task: regression`"
    )


def repeated_keys(dataset: str, key: Iterable[str], rows: int) -> str:
    """The warning of a split at random of rows that the key does not tell apart."""
    named = ", ".join(f"`{name}`" for name in key)
    noun = "row shares" if rows == 1 else "rows share"
    return (
        f"{rows:,} {noun} the key {named} with an earlier row of `{dataset}`: a split at random puts rows of one key on both sides, "
        "and the figures look better than they are"
    )
