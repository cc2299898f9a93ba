"""Take over a feature view or an entity that is in the Feast registry already, when it is what mlctl would have declared."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.features import feast_store
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import EVENT_TIMESTAMP, AdoptEntityParams, Key, Marks, MaterializeParams
from mlctl.types.jobs.tracking import LINEAGE_TAG
from mlctl.types.ownership import ADOPTED_TAG, differs, marked_by_another, not_found

Difference = tuple[str, object, object]
_TYPES = {"float64": "Float64", "float32": "Float32", "int64": "Int64", "string": "String"}
_KEYS = {"int64": "INT64", "string": "STRING"}


def adopt_entity(params: AdoptEntityParams) -> None:
    """Mark an entity as ours. Raises MlctlError when there is none, it has an owner, or it differs."""
    with feast_store.changing(params.store) as store:
        registry = feast_store.registry_name(params.store)
        found = _entities(store, params.entity, params.keys, registry, params.marks)
        different = [item for entity, key in found for item in _entity_differences(entity, key)]
        _expect(f"the Feast entity `{params.entity}`", params.marks, different)
        _mark(store, [entity for entity, _ in found], params.marks)


def adopt_view(store: Any, params: MaterializeParams) -> None:
    """Mark a view, its source and its entity as ours, inside `feast_store.changing`. Raises MlctlError like `adopt_entity`."""
    registry, marks = feast_store.registry_name(params.store), params.marks
    view = _named(store.list_feature_views(), params.view, "feature view", registry, marks)
    entities = _entities(store, params.entity, params.keys, registry, marks)
    different = [
        *_view_differences(view, params),
        *(item for entity, key in entities for item in _entity_differences(entity, key)),
    ]
    _expect(f"the Feast view `{params.view}`", marks, different)
    sources = [item for item in store.list_data_sources() if item.name == params.view]
    _mark(store, [*(entity for entity, _ in entities), *sources, view], marks)


def _entities(store: Any, name: str, keys: Sequence[Key], registry: str, marks: Marks) -> list[tuple[Any, Key]]:
    """The Feast entities of one entity of ours, one for each column of its key."""
    found = store.list_entities()
    names = feast_store.entity_names(name, keys)
    return [(_named(found, one, "entity", registry, marks), key) for one, key in zip(names, keys, strict=True)]


def _named(items: list[Any], name: str, what: str, registry: str, marks: Marks) -> Any:
    found = next((item for item in items if item.name == name), None)
    if found is None:
        why = f"the registry {registry} has {', '.join(sorted(item.name for item in items)) or 'none'}"
        raise not_found(
            f"{what} `{name}` in Feast", why, marks.address, "declare nothing by hand: `mlctl apply` makes it"
        )
    if found.tags.get(LINEAGE_TAG, marks.lineage) != marks.lineage:
        raise marked_by_another(f"the Feast {what} `{name}`", found.tags, marks.address)
    return found


def _expect(what: str, marks: Marks, different: list[Difference]) -> None:
    if different:
        raise differs(what, marks.address, different)


def _entity_differences(entity: Any, key: Key) -> list[Difference]:
    pairs = [("entity.key", entity.join_key, key.name), ("entity.dtype", entity.value_type.name, _KEYS[key.type])]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _view_differences(view: Any, params: MaterializeParams) -> Iterator[Difference]:
    """Fields of the view that are not as mlctl would declare them."""
    there = {item.name: str(item.dtype) for item in view.features}
    asked = {item.name: _TYPES[item.dtype] for item in params.features}
    for name in sorted(there.keys() | asked.keys()):
        if there.get(name) != asked.get(name):
            yield f"features.{name}", there.get(name), asked.get(name)
    source = view.batch_source
    pairs: list[Difference] = [
        ("entity", sorted(view.entities), sorted(feast_store.entity_names(params.entity, params.keys))),
        ("ttl", _seconds(view.ttl), params.ttl_seconds or 0),
        ("online", bool(view.online), params.online),
        ("source.path", _path(source), _absolute(params.snapshot)),
        ("source.timestamp", getattr(source, "timestamp_field", None), EVENT_TIMESTAMP),
    ]
    yield from (pair for pair in pairs if pair[1] != pair[2])


def _seconds(ttl: timedelta | None) -> int:
    return int(ttl.total_seconds()) if ttl is not None else 0


def _path(source: Any) -> str | None:
    stated = getattr(source, "path", None)
    return None if stated is None else _absolute(str(stated).removeprefix("file://"))


def _absolute(path: str) -> str:
    return str(Path(path).resolve())


def _mark(store: Any, items: list[Any], marks: Marks) -> None:
    """Add our tags, and the one that says that these are not ours to delete. They become visible together."""

    def marked(tags: dict[str, str]) -> dict[str, str]:
        return tags if LINEAGE_TAG in tags else {**tags, **marks.tags(), ADOPTED_TAG: "true"}  # ours stays as it is

    feast_store.retag(store, items, marked)


def same_content(made: str, there: str, view: str, address: str) -> None:
    """Whether the snapshots that are there are those the source gives now. Raises MlctlError."""
    if made != there:
        raise MlctlError.of(
            "import.differs",
            f"the snapshots of the Feast view `{view}` are not what its source gives now",
            "they were computed from other events or in another way, so training and serving would not see what the block says",
            "take the view out of Feast and let `mlctl apply` make it, or give yours another name",
            address=address,
        )
