"""A data contract in text: what it holds, and what another one would change in it."""

from __future__ import annotations

from collections.abc import Mapping

from mlctl.types.jobs.contract import CategoricalBins, ContractColumn, DataContract
from mlctl.views.human.style import columns


def lines(contract: DataContract) -> list[str]:
    """The contract, one line a column."""
    head = (
        f"{contract.dataset}: {contract.rows:,} rows, {len(contract.columns)} columns, recorded {contract.recorded_at}"
    )
    rows = [["column", "type", "nulls", "distribution"]]
    rows += [[item.name, item.type, _nulls(item), _bins(item)] for item in contract.columns]
    return [head, *(f"  {line}" for line in columns(rows))]


def changes(before: DataContract | None, after: DataContract) -> list[str]:
    """What would change, but for the moment of recording; nothing when all else is the same."""
    if before is None:
        return [f"new: {after.rows:,} rows, {len(after.columns)} columns"]
    found = []
    if before.dataset != after.dataset:
        found.append(f"dataset: {before.dataset} -> {after.dataset}")
    if before.rows != after.rows:
        found.append(f"rows: {before.rows:,} -> {after.rows:,}")
    old = {item.name: item for item in before.columns}
    new = {item.name: item for item in after.columns}
    found += [f"- {name} {item.type}" for name, item in old.items() if name not in new]
    found += [f"+ {name} {item.type}" for name, item in new.items() if name not in old]
    found += _of_columns(old, new)
    both = [name for name in old if name in new]
    if both != [name for name in new if name in old]:
        found.append("the order of the columns")
    if not found and before.digest != after.digest:
        found.append("the data, in a way that shows in no distribution")
    return found


def _of_columns(old: Mapping[str, ContractColumn], new: Mapping[str, ContractColumn]) -> list[str]:
    found = []
    for name, item in new.items():
        was = old.get(name)
        if was is None or was == item:
            continue
        parts = [f"{was.type} -> {item.type}"] if was.type != item.type else []
        found.append(f"~ {name}: {', '.join([*parts, *(['its distribution'] if was.bins != item.bins else [])])}")
    return found


def _nulls(column: ContractColumn) -> str:
    return "" if column.bins is None else f"{column.bins.nulls:,}"


def _bins(column: ContractColumn) -> str:
    if column.bins is None:
        return "not recorded"
    if isinstance(column.bins, CategoricalBins):
        other = f", {column.bins.other:,} others" if column.bins.other else ""
        return f"{len(column.bins.values)} values{other}"
    edges = column.bins.edges
    return f"{len(column.bins.counts)} bins, {edges[0]:g} to {edges[-1]:g}" if edges else "no values"
