"""Steps of `test_stores_warehouse.py`, run in the process of `drive.py`, which may import Feast."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from mlctl.runtime.features.feast_opening import import_feast, offline_config
from mlctl.runtime.features.warehouse import pull, source_of
from mlctl.types.jobs.features import MaterializeParams


def rendered(params: dict[str, Any]) -> dict[str, Any]:
    """What Feast's own classes make of the settings and the source that we render."""
    import_feast()
    from feast import RepoConfig

    made = MaterializeParams.model_validate(params)
    config = RepoConfig(project="p", registry="r.db", provider="local", offline_store=offline_config(made.store), entity_key_serialization_version=3)  # fmt: skip
    source = source_of(made, {})
    return {"config": type(config.offline_store).__name__, "source": type(source).__name__, "query": source.query, "time": source.timestamp_field}  # fmt: skip


def pulled(params: dict[str, Any]) -> None:
    """The rows of a source through an offline store, which is DuckDB's here and has the same interface."""
    made = MaterializeParams.model_validate(params)
    pull(made, source_of(made, {}), Path("pulled.parquet"))
