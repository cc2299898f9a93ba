"""Which columns of its source each feature of a view is made of, and how."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from mlctl.runtime.features.expression import columns_read
from mlctl.types.jobs.features import FeatureColumn, MaterializeParams
from mlctl.types.units import format_duration
from mlctl.types.value import Json


def lineage(params: MaterializeParams) -> dict[str, Json]:
    """For each feature the source's columns it reads, those of filters and expressions included."""
    return {item.name: _feature(item, params) for item in params.features}


def _feature(item: FeatureColumn, params: MaterializeParams) -> dict[str, Json]:
    filters = [text for text in (params.where, item.where) if text is not None]
    named = [name for name in (item.column, item.over) if name is not None]
    for text in filters:
        named += columns_read(text, [*params.source.columns, *params.expressions])
    # what only counts events is made of the times at which they happened
    columns = list(dict.fromkeys(_resolved(named, params.source.columns, params.expressions))) or [params.timestamp]
    window = format_duration(item.window_steps * params.grid_seconds) if item.window_steps else None
    return {"columns": columns, "aggregate": item.aggregate, "window": window, "where": " AND ".join(filters) or None}


def _resolved(names: Iterable[str], columns: Mapping[str, str], expressions: Mapping[str, str]) -> Iterable[str]:
    """Columns of the source behind names that may be expressions over them."""
    for name in names:
        if name in expressions:
            yield from columns_read(expressions[name], columns)
        else:
            yield name
