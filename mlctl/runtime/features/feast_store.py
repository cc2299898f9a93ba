"""The one place that speaks to Feast: declare a view, fill its online table, take it away again.

Feast writes its registry file in place and has no lock on it. Here every change is made to a copy, under a lock, and
swapped in, so that a kill leaves the old registry and two views can be applied at once.
"""

# ruff: noqa: S608 (names go through quote())

from __future__ import annotations

import os
import shutil
import sqlite3
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.files.lock import FileLock
from mlctl.runtime.profile.database import quote
from mlctl.types.jobs.features import EVENT_TIMESTAMP, DeleteParams, Marks, MaterializeParams, Store
from mlctl.types.jobs.tracking import LINEAGE_TAG, OBJECT_TAG
from mlctl.types.ownership import ADOPTED_TAG, not_ours

_MARKS = (LINEAGE_TAG, OBJECT_TAG, ADOPTED_TAG)
_LOCK_FILE = "lock"
_METRICS_FOLDERS = ("PROMETHEUS_MULTIPROCESS_DIR", "PROMETHEUS_MULTIPROC_DIR")
_REGISTRY_SECONDS = 60  # how old a registry may be in the eyes of a running server


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
    """A Feast FeatureStore on the files of a store, or on another registry file. Imports Feast, which takes seconds.

    The process works in UTC from here on: Feast's SQLite store reads and writes event times through the local time zone,
    so that a writer and a reader in different zones would not agree on them.
    """
    os.environ["TZ"] = "UTC"
    time.tzset()
    import_feast()
    from feast import FeatureStore, RepoConfig
    from feast.repo_config import RegistryConfig

    config = RepoConfig(
        project=store.project,
        provider="local",
        registry=RegistryConfig(
            registry_type="file", path=str(registry or store.registry), cache_ttl_seconds=_REGISTRY_SECONDS
        ),
        offline_store=store.offline.model_dump(),
        online_store=store.online.model_dump(),
        entity_key_serialization_version=3,
    )
    return FeatureStore(config=config)


def online_table(store: Store, view: str) -> str:
    """The name that Feast gives the SQLite table of a view."""
    return f"{store.project}_{view}"


@contextmanager
def changing(store: Store) -> Iterator[Any]:
    """A FeatureStore whose changes of the registry become visible together, when the block ends well."""
    import_feast()  # before the lock is taken: it takes seconds, and others wait
    registry = Path(store.registry)
    registry.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(registry.parent / _LOCK_FILE)
    lock.acquire(blocking=True)
    beside = registry.with_name(f".{registry.name}.new")
    try:
        beside.unlink(missing_ok=True)
        if registry.exists():
            shutil.copyfile(registry, beside)
        yield open_store(store, beside)
        os.replace(beside, registry)
    finally:
        beside.unlink(missing_ok=True)
        lock.release()


def check_ours(feast_store: Any, params: MaterializeParams) -> None:
    """Refuse to overwrite a view, source or entity that somebody else declared. Raises MlctlError."""
    found = {
        "feature view": (params.view, feast_store.list_all_feature_views()),
        "data source": (params.view, feast_store.list_data_sources()),
        "entity": (params.entity, feast_store.list_entities()),
    }
    for what, (name, objects) in found.items():
        for item in objects:
            if item.name == name and item.tags.get(LINEAGE_TAG) != params.marks.lineage:
                title = f"the {what} `{name}` in the Feast registry {params.store.registry}"
                raise not_ours(title, item.tags, params.marks.address, params.view, "give yours another name")


def declare(feast_store: Any, params: MaterializeParams) -> None:
    """Put the view, its source and its entity into the registry, and make the online table."""
    from feast import Entity, FeatureView, Field, FileSource, ValueType
    from feast.types import Float32, Float64, Int64, String

    types = {"float64": Float64, "float32": Float32, "int64": Int64, "string": String}
    adopted = _adopted(feast_store)
    entity_tags = {LINEAGE_TAG: params.marks.lineage, **adopted.get(("entity", params.entity), {})}
    tags = {**params.marks.tags(), **adopted.get(("view", params.view), {})}
    entity = Entity(
        name=params.entity,
        join_keys=[params.join_key],
        value_type=ValueType.INT64 if params.key_type == "int64" else ValueType.STRING,
        tags=entity_tags,
    )
    source = FileSource(name=params.view, path=params.snapshot, timestamp_field=EVENT_TIMESTAMP, tags=tags)
    view = FeatureView(
        name=params.view,
        entities=[entity],
        ttl=timedelta(seconds=params.ttl_seconds or 0),  # zero is Feast's way to say that values do not expire
        schema=[
            Field(name=params.join_key, dtype=types[params.key_type]),
            *(Field(name=item.name, dtype=types[item.dtype]) for item in params.features),
        ],
        source=source,
        online=params.online,
        tags=tags,
    )
    if params.online:
        _share_readers(params.store)
    feast_store.apply([entity, source, view])
    _remove_unused_entities(feast_store, params.marks)


def fill_online(feast_store: Any, params: MaterializeParams, until: datetime) -> int:
    """Materialize the snapshots of one moment, the latest of every key, and drop rows of keys and features that are no more.

    Gives back the number of values in the online table. Readers see the old value or the new one of a key, never none.
    """
    table = quote(online_table(params.store, params.view))
    with closing(sqlite3.connect(params.store.online.path)) as connection:
        # Rows that are written again lose this mark, because the source has no column of creation times.
        with connection:
            connection.execute(f"UPDATE {table} SET created_ts = 0")
        feast_store.materialize(until, until, feature_views=[params.view])
        with connection:
            connection.execute(f"DELETE FROM {table} WHERE created_ts IS NOT NULL")
        (rows,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(rows)


def online_rows(store: Store, view: str) -> int:
    """How many values the online table of a view holds; 0 without one, which the next look finds and mends."""
    with closing(sqlite3.connect(store.online.path)) as connection, suppress(sqlite3.OperationalError):
        return int(connection.execute(f"SELECT count(*) FROM {quote(online_table(store, view))}").fetchone()[0])
    return 0


def remove(params: DeleteParams) -> bool:
    """Take the view, its source, its online table and entities that nothing uses out of the store, if they are ours.

    What was taken over is given back: its marks go, and it stays. Gives whether a view of that name is left.
    """
    with changing(params.store) as feast_store:
        named = [
            item
            for item in [*feast_store.list_feature_views(), *feast_store.list_data_sources()]
            if item.name == params.view and _is_ours(item, params.marks)
        ]
        doomed = [item for item in named if ADOPTED_TAG not in item.tags]
        if doomed:
            feast_store.apply([], objects_to_delete=doomed, partial=False)
        _give_back(feast_store, [item for item in named if ADOPTED_TAG in item.tags], params.marks)
        _remove_unused_entities(feast_store, params.marks)
        left = params.view in {view.name for view in feast_store.list_all_feature_views()}
        if not left:
            drop_online_table(params.store, params.view)
        return left


def _give_back(feast_store: Any, items: list[Any], marks: Marks) -> None:
    """Take our marks off what was taken over, and off their entities when no other view of ours uses them."""
    views = feast_store.list_all_feature_views()
    given = {item.name for item in items}
    ours = {name for view in views if view.name not in given and _is_ours(view, marks) for name in view.entities}
    freed = {name for view in views if view.name in given for name in view.entities} - ours
    items = [
        *items,
        *(item for item in feast_store.list_entities() if item.name in freed and ADOPTED_TAG in item.tags),
    ]
    retag(feast_store, items, lambda tags: {name: value for name, value in tags.items() if name not in _MARKS})


def retag(feast_store: Any, items: list[Any], change: Callable[[dict[str, str]], dict[str, str]]) -> None:
    """Give registered objects other tags. A view brings a copy of its source along, which would put the old tags back."""
    for item in items:
        item.tags = change(dict(item.tags))
        source = getattr(item, "batch_source", None)
        if source is not None and source.name == item.name:
            source.tags = change(dict(source.tags))
    if items:
        feast_store.apply(items)


def _adopted(feast_store: Any) -> dict[tuple[str, str], dict[str, str]]:
    """The mark on what was taken over, to be kept when it is declared anew, and the tags that its owner gave it."""
    views = {("view", item.name): dict(item.tags) for item in feast_store.list_feature_views()}
    entities = {("entity", item.name): dict(item.tags) for item in feast_store.list_entities()}
    return {
        key: {name: value for name, value in tags.items() if name not in (LINEAGE_TAG, OBJECT_TAG)}
        for key, tags in {**views, **entities}.items()
        if ADOPTED_TAG in tags
    }


def drop_online_table(store: Store, view: str) -> None:
    """Remove the online table of a view that is not served any more. Gone already is success."""
    if Path(store.online.path).exists():
        with closing(sqlite3.connect(store.online.path)) as connection, connection:
            connection.execute(f"DROP TABLE IF EXISTS {quote(online_table(store, view))}")


def _unchecked(target: Any = None, **_options: Any) -> Any:
    """What `typeguard.typechecked` is in optimized mode: a decorator, with or without options, that changes nothing."""
    return target if target is not None else lambda function: function


def _is_ours(item: Any, marks: Marks) -> bool:
    return bool(item.tags.get(LINEAGE_TAG) == marks.lineage)


def _remove_unused_entities(feast_store: Any, marks: Marks) -> None:
    """Remove entities of ours that no view uses: the last view of one was deleted, or uses another now."""
    used = {name for view in feast_store.list_all_feature_views() for name in view.entities}
    unused = [
        item
        for item in feast_store.list_entities()
        if item.name not in used and _is_ours(item, marks) and ADOPTED_TAG not in item.tags
    ]
    if unused:
        feast_store.apply([], objects_to_delete=unused, partial=False)


def _share_readers(store: Store) -> None:
    """Let servers read the online store while it is written."""
    Path(store.online.path).parent.mkdir(parents=True, exist_ok=True)
    with closing(sqlite3.connect(store.online.path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
