"""The `data_diff` program: how far columns moved, counted into frozen bins, and which keys came, went or changed."""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.profile.bins import comparable, count_parts, read_counts
from mlctl.runtime.profile.database import database, one_row
from mlctl.runtime.profile.source import relation, staged
from mlctl.runtime.profile.statistics import portions
from mlctl.runtime.profile.types import NUMBERS, family, value
from mlctl.runtime.report import Report
from mlctl.stats.distribution import comparable_rows, jensen_shannon, psi
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.contract import CategoricalBins, NumericBins
from mlctl.types.jobs.data_diff import ColumnDistance, DiffParams, DiffResult, KeyCounts, KeysParams
from mlctl.types.jobs.profile import Source

_COUNTED_AT_ONCE = 500  # columns in one pass
_DIGITS = 10

AnyBins = NumericBins | CategoricalBins


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Compare them."""
    asked = DiffParams.model_validate(params)
    other: dict[str, AnyBins] = dict(asked.counts)
    keys = None
    with database(report.folder) as connection:
        if asked.counted is not None:
            other |= _counted(connection, asked.counted, asked.frozen, report)
        if asked.keys is not None:
            report.progress("comparing keys")
            keys = _keys(connection, asked.keys)
    distances = {name: _distance(bins, other[name]) for name, bins in asked.frozen.items() if name in other}
    found = DiffResult(distances=distances, counts={name: other[name] for name in distances}, keys=keys)
    return JobResult(JobStatus.DONE, found.model_dump(mode="json"))


def _counted(connection: Any, source: Source, frozen: Mapping[str, AnyBins], report: Report) -> dict[str, AnyBins]:
    """The rows of one side in the bins of the other, where the types allow it."""
    names = [name for name, bins in frozen.items() if name in source.columns and comparable(source.columns[name], bins)]
    found: dict[str, AnyBins] = {}
    table = staged(connection, source, report.folder) if len(names) > _COUNTED_AT_ONCE else relation(source)
    for portion in portions(names, _COUNTED_AT_ONCE):
        report.progress("counting into bins", len(found), len(names), "columns")
        parts: dict[str, str] = {}
        for i, name in enumerate(portion):
            parts |= count_parts(f"k{i}", name, source.columns[name], frozen[name])
        listed = ", ".join(f"{text} AS {alias}" for alias, text in parts.items())
        row = one_row(connection, f"SELECT {listed} FROM {table}")
        found |= {name: read_counts(row, f"k{i}", frozen[name]) for i, name in enumerate(portion)}
    return found


def _distance(a: AnyBins, b: AnyBins) -> ColumnDistance:
    if not comparable_rows(a) or not comparable_rows(b):
        return ColumnDistance()
    stability, shannon = psi(a, b), jensen_shannon(a, b)
    return ColumnDistance(
        psi=_rounded(stability.distance),
        psi_p_value=None if stability.p_value is None else _rounded(stability.p_value),
        jensen_shannon=_rounded(shannon.distance),
    )


def _keys(connection: Any, asked: KeysParams) -> KeyCounts:
    """Rows of both sides by key. What a row holds is compared by its hash, and the rows of one key as a set with repetitions."""
    row = one_row(connection, keys_query(asked))
    return KeyCounts(key=asked.key, **{name: int(item) for name, item in row.items()})


def keys_query(asked: KeysParams) -> str:
    """One grouping over both sides together: it treats a null key as a value, and spills when it is large."""
    shared = [name for name in asked.a.columns if name in asked.b.columns]
    keys = ", ".join(f"k{i}" for i in range(len(asked.key)))
    sides = " UNION ALL ".join(
        f"SELECT {_side(source, asked, shared)}, {side} AS in_b FROM {relation(source)}"
        for source, side in ((asked.a, "false"), (asked.b, "true"))
    )
    grouped = (
        "SELECT count(*) FILTER (NOT in_b) AS na, count(*) FILTER (in_b) AS nb,"
        " sum(h) FILTER (NOT in_b) AS ha, sum(h) FILTER (in_b) AS hb"
        f" FROM ({sides}) GROUP BY {keys}"
    )
    both, same = "na > 0 AND nb > 0", "na = nb AND ha = hb"
    return (
        f"SELECT count(*) FILTER (na = 0) AS added, count(*) FILTER (nb = 0) AS removed,"
        f" count(*) FILTER ({both} AND NOT ({same})) AS changed, count(*) FILTER ({both} AND {same}) AS same,"
        f" count(*) FILTER (na > 1 OR nb > 1) AS duplicated FROM ({grouped})"
    )


def _side(source: Source, asked: KeysParams, shared: Sequence[str]) -> str:
    """The key and a hash of the shared columns that are no key, each as a type that both sides can take."""
    keys = [f"{_common(name, source, asked)} AS k{i}" for i, name in enumerate(asked.key)]
    rest = [_common(name, source, asked) for name in shared if name not in asked.key]
    hashed = f"hash({', '.join(rest)})::HUGEINT" if rest else "0::HUGEINT"
    return ", ".join([*keys, f"{hashed} AS h"])


def _common(name: str, source: Source, asked: KeysParams) -> str:
    types = asked.a.columns[name], asked.b.columns[name]
    column = value(name, source.columns[name])
    if types[0] == types[1]:
        return column
    kinds = {family(found) for found in types}
    if kinds == {"integer"}:
        return f"({column})::HUGEINT"
    return f"({column})::DOUBLE" if kinds <= set(NUMBERS) else f"({column})::VARCHAR"


def _rounded(number: float) -> float:
    return float(f"{number:.{_DIGITS}g}")
