"""The one place that speaks to Feast: declare a view, and take it away again.

Feast writes its registry file in place and has no lock on it. Here every change is made to a copy, under a lock, and
swapped in, so that a kill leaves the old registry and two views can be applied at once. A registry in a database changes
row by row; the same lock keeps our own writers apart, and a change that was cut off is made whole by the next apply.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlctl.files.lock import FileLock
from mlctl.runtime.features.feast_opening import import_feast, open_store
from mlctl.runtime.features.stores.backend import Table
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.runtime.features.warehouse import source_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import DeleteParams, Key, Marks, MaterializeParams, Store
from mlctl.types.jobs.stores import sql_address, sqlite_file
from mlctl.types.jobs.tracking import LINEAGE_TAG, OBJECT_TAG
from mlctl.types.ownership import ADOPTED_TAG, not_ours

_MARKS = (LINEAGE_TAG, OBJECT_TAG, ADOPTED_TAG)
_LOCK_FILE = "lock"
_LOCKS = ".mlctl/locks"  # of registries that lie in a database


@contextmanager
def changing(store: Store) -> Iterator[Any]:
    """A FeatureStore whose changes of a registry file become visible together, when the block ends well. Raises MlctlError."""
    import_feast()  # before the lock is taken: it takes seconds, and others wait
    with _locked(store):
        if store.registry_is_file:
            with _beside(Path(store.registry)) as beside:
                yield open_store(store, beside)
        else:
            file = sqlite_file(store.registry)
            if file is not None:
                Path(file).parent.mkdir(parents=True, exist_ok=True)  # SQLite makes the file, and not its folder
            with _database_errors(store):
                yield open_store(store)


@contextmanager
def _locked(store: Store) -> Iterator[None]:
    """Keep other programs of this project folder from the registry meanwhile."""
    folder = Path(store.registry).parent if store.registry_is_file else Path(_LOCKS)
    folder.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder / (_LOCK_FILE if store.registry_is_file else f"{store.project}.{_LOCK_FILE}"))
    lock.acquire(blocking=True)
    try:
        yield
    finally:
        lock.release()


@contextmanager
def _beside(registry: Path) -> Iterator[Path]:
    """A copy of a registry file that takes its place when the block ends well."""
    beside = registry.with_name(f".{registry.name}.new")
    try:
        beside.unlink(missing_ok=True)
        if registry.exists():
            shutil.copyfile(registry, beside)
        yield beside
        os.replace(beside, registry)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def _database_errors(store: Store) -> Iterator[None]:
    """What a database says, without the password that SQLAlchemy leaves out and drivers may not."""
    from sqlalchemy.exc import SQLAlchemyError

    try:
        yield
    except SQLAlchemyError as error:
        first = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise MlctlError.of(
            "features.registry-down",
            f"the Feast registry {sql_address(store.registry)} cannot be used",
            first,
            "start the database, or correct `feature_store.registry`; then run `mlctl apply` again",
        ) from None


def check_ours(feast_store: Any, params: MaterializeParams) -> None:
    """Refuse to overwrite a view, source or entity that somebody else declared. Raises MlctlError."""
    entities = set(entity_names(params.entity, params.keys))
    found = {
        "feature view": ({params.view}, feast_store.list_all_feature_views()),
        "data source": ({params.view}, feast_store.list_data_sources()),
        "entity": (entities, feast_store.list_entities()),
    }
    for what, (names, objects) in found.items():
        for item in objects:
            if item.name in names and item.tags.get(LINEAGE_TAG) != params.marks.lineage:
                title = f"the {what} `{item.name}` in the Feast registry {registry_name(params.store)}"
                raise not_ours(title, item.tags, params.marks.address, params.view, "give yours another name")


def registry_name(store: Store) -> str:
    """What people call the registry: its file, or its database without who logs in."""
    return store.registry if store.registry_is_file else sql_address(store.registry)


def entity_names(entity: str, keys: Sequence[Key]) -> list[str]:
    """What Feast calls an entity: it knows only entities of one column, so that a key of several is one for each column.

    No name of an entity of ours has a full stop in it, so that these meet no other.
    """
    return [entity] if len(keys) == 1 else [f"{entity}.{key.name}" for key in keys]


def declare(feast_store: Any, params: MaterializeParams) -> None:
    """Put the view, its source and its entity into the registry."""
    from feast import Entity, FeatureView, Field, ValueType
    from feast.types import Float32, Float64, Int64, String

    types = {"float64": Float64, "float32": Float32, "int64": Int64, "string": String}
    adopted = _adopted(feast_store)
    tags = {**params.marks.tags(), **adopted.get(("view", params.view), {})}
    entities = [
        Entity(
            name=name,
            join_keys=[key.name],
            value_type=ValueType.INT64 if key.type == "int64" else ValueType.STRING,
            tags={LINEAGE_TAG: params.marks.lineage, **adopted.get(("entity", name), {})},
        )
        for name, key in zip(entity_names(params.entity, params.keys), params.keys, strict=True)
    ]
    source = source_of(params, tags)
    view = FeatureView(
        name=params.view,
        entities=entities,
        ttl=timedelta(seconds=params.ttl_seconds or 0),  # zero is Feast's way to say that values do not expire
        schema=[
            *(Field(name=key.name, dtype=types[key.type]) for key in params.keys),
            *(Field(name=item.name, dtype=types[item.dtype]) for item in params.features),
        ],
        source=source,
        online=params.online,
        tags=tags,
    )
    feast_store.apply([*entities, source, view])
    _remove_unused_entities(feast_store, params.marks)


def remove(params: DeleteParams) -> bool:
    """Take the view, its source, its online rows and entities that nothing uses out of the store, if they are ours.

    What was taken over is given back: its marks go, and it stays. Gives whether a view of that name is left.
    """
    if not params.declared:
        drop_online(params.store, params.view, params.marks)
        return True
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
        drop_online(params.store, params.view, params.marks)
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


def drop_online(store: Store, view: str, marks: Marks) -> None:
    """Remove the online rows of a view that is not served any more, if they are ours. Gone already is success.

    On a shared server ours carry our stamp, which is put there before the first of them.
    """
    with closing(open_backend(store)) as backend:
        stamp = backend.stamp(view)
        if stamp is not None and stamp.lineage == marks.lineage:
            backend.drop(Table(view, tuple(Key.model_validate(key) for key in stamp.keys), tuple(stamp.features)))
        elif store.online.type == "sqlite":
            backend.drop(Table(view, (), ()))


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
