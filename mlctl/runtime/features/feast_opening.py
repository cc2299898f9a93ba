"""Feast imported quickly, and opened on the files and servers of a project."""

from __future__ import annotations

import os
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from mlctl.types.jobs.features import Store
from mlctl.types.jobs.stores import dynamo_table, redis_connection, sql_path

_REGISTRY_SECONDS = 60  # how old a registry may be in the eyes of a running server
_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")


def import_feast() -> None:
    """Import Feast in a third of the time: 1.7 CPU s, and 0.9 where torch is not imported already, against 4.6.

    Half of it goes to typeguard, which rewrites Feast's functions so that they check the types of their arguments;
    ours are checked before (mypy, pydantic). And Feast imports torch wherever it is installed, for conversions to
    tensors that nothing here uses. Both are put back when it is done, for whoever else wants them.
    """
    if "feast" in sys.modules:
        return
    import typeguard

    typechecked, without_torch = typeguard.typechecked, "torch" not in sys.modules
    typeguard.typechecked = _unchecked
    if without_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]  # an import of it fails, which Feast expects
    import prometheus_client  # noqa: F401  # before Feast asks it to keep figures in files

    before = {name: os.environ.get(name) for name in _METRICS_FOLDERS}
    try:
        import feast  # noqa: F401
    finally:
        typeguard.typechecked = typechecked
        if without_torch:
            del sys.modules["torch"]
    for (
        name,
        value,
    ) in before.items():  # Feast makes a folder in /tmp for the figures of its own server, which is not ours
        if value is None and name in os.environ:
            shutil.rmtree(os.environ.pop(name), ignore_errors=True)


def open_store(store: Store, registry: Path | None = None) -> Any:
    """A Feast FeatureStore on the files and servers of a store, or on another registry file. Imports Feast, which takes seconds.

    The process works in UTC from here on: Feast's SQLite store reads and writes event times through the local time zone,
    so that a writer and a reader in different zones would not agree on them.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    import_feast()
    from feast import FeatureStore, RepoConfig
    from feast.repo_config import RegistryConfig

    where: Any = {"cache_ttl_seconds": _REGISTRY_SECONDS}
    if store.registry_is_file:
        where = RegistryConfig(registry_type="file", path=str(registry or store.registry), **where)
    else:
        from feast.infra.registry.sql import SqlRegistryConfig

        where = SqlRegistryConfig(registry_type="sql", path=sql_path(store.registry), **where)
    config = RepoConfig(
        project=store.project,
        provider="local",
        registry=where,
        offline_store=offline_config(store),
        online_store=online_config(store),
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def online_config(store: Store) -> dict[str, Any]:
    """The online store as Feast wants it written."""
    online = store.online
    if online.type == "redis":
        # Feast deletes by a pattern that also matches projects whose name ends like ours; what is ours is deleted by us
        config: dict[str, Any] = {
            "type": "redis", "connection_string": redis_connection(online.url), "full_scan_for_deletion": False,
        }  # fmt: skip
        return {**config, **({} if online.key_ttl_seconds is None else {"key_ttl_seconds": online.key_ttl_seconds})}
    if online.type == "dynamodb":
        return {
            "type": "dynamodb", "region": online.region, "endpoint_url": online.endpoint_url, "consistent_reads": True,
            "table_name_template": dynamo_table("{project}", "{table_name}"),
        }  # fmt: skip
    return {"type": "sqlite", "path": online.path}


def offline_config(store: Store) -> dict[str, Any]:
    """The offline store as Feast wants it written."""
    offline = store.offline
    if offline.type == "bigquery":
        stated = {"project_id": offline.project, "dataset": offline.dataset, "location": offline.location}
        return {"type": "bigquery", **{name: value for name, value in stated.items() if value is not None}}
    if offline.type == "snowflake":
        stated = offline.model_dump(exclude={"type"}, exclude_none=True)
        return {"type": "snowflake.offline", **stated}
    return {"type": "duckdb"}


def _unchecked(target: Any = None, **_options: Any) -> Any:
    """What `typeguard.typechecked` is in optimized mode: a decorator, with or without options, that changes nothing."""
    return target if target is not None else lambda function: function
