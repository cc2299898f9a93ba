"""What a feature view must hold to because of the store it is declared in and served from. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.providers.feast.settings import FeatureStore, Redis
from mlctl.providers.feast.spec import FeatureViewSpec
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.units import format_duration


def store_problems(spec: FeatureViewSpec, settings: FeatureStore) -> Iterator[Diagnostic]:
    """What the feature store of the project cannot do for a view."""
    offline, online = settings.offline, settings.online
    if offline.type != "duckdb" and not spec.precomputed:
        yield Diagnostic(
            "features.windows-in-warehouse",
            f"an offline store of type {offline.type} takes no windows",
            "Feast computes none there, and mlctl computes them over files",
            "use a precomputed table as the source (features without `aggregate` and `window`), or `offline: {type: duckdb}`",
            path=("features",),
        )
    if offline.type != "duckdb" and (spec.where or spec.columns or any(item.where for item in spec.features.values())):
        yield Diagnostic(
            "features.filter-in-warehouse",
            f"an offline store of type {offline.type} takes no filters and no expressions",
            "they are of DuckDB's SQL, and Feast hands the table to the warehouse as it is",
            "put them into a view or a query of the warehouse, and name that in the dataset",
            path=("where",) if spec.where else ("features",),
        )
    if not (isinstance(online, Redis) and online.key_ttl is not None and spec.online):
        return
    if spec.ttl is None or spec.ttl > online.key_ttl:
        good = "for good" if spec.ttl is None else f"for {format_duration(spec.ttl)}"
        yield Diagnostic(
            "features.key-ttl-below-ttl",
            f"Redis drops a key after {format_duration(online.key_ttl)}, and values of this view are good {good}",
            "training would see values that serving has no more",
            f"give the view a `ttl` of at most {format_duration(online.key_ttl)}, or raise `feature_store.online.key_ttl`",
            path=("ttl",),
        )


def warehouse_problems(specs: Mapping[Address, Any], settings: FeatureStore) -> Iterator[tuple[Address, Diagnostic]]:
    """Views whose rows are not in the warehouse that the offline store is of: Feast would look for them there."""
    warehouse = settings.offline.type
    if warehouse == "duckdb":
        return
    for address, spec in specs.items():
        if not isinstance(spec, FeatureViewSpec):
            continue
        dataset = specs.get(Address("datasets", spec.source))
        database = getattr(dataset, "database", None)
        if getattr(database, "type", None) != warehouse or getattr(dataset, "copy_", True):
            yield (
                address,
                Diagnostic(
                    "features.not-in-warehouse",
                    f"the rows of `{spec.source}` do not stay in {warehouse}",
                    f"the offline store is of type {warehouse}, and Feast reads a view there",
                    f"give the dataset `database: {{type: {warehouse}, ...}}` with `copy: false`, or use `offline: {{type: duckdb}}`",
                    path=("source",),
                ),
            )
