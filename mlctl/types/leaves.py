"""Fields of a block as dotted paths: leaves, their defaults and their classes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mlctl.types.change import FieldClass
from mlctl.types.value import Json


def default_of(spec: BaseModel, path: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Json:
    """What a leaf is when it is not written; None when nothing is, or when the block around it changed its type."""
    *blocks, name = path.split(".")
    around: Any = spec
    for depth, block in enumerate(blocks, start=1):
        around = getattr(around, block, None)
        mark = ".".join([*blocks[:depth], "type"])
        if not isinstance(around, BaseModel) or old.get(mark) != new.get(mark):
            return None
    info = type(around).model_fields.get(name) if isinstance(around, BaseModel) else None
    if info is None or info.is_required():
        return None
    default = info.get_default(call_default_factory=True)
    empty = default is None or default == "" or default == [] or default == {} or isinstance(default, BaseModel)
    if empty:
        return None
    # as the block itself writes it: 10 seconds are `10s`
    return type(around).model_construct(**{name: default}).model_dump(mode="json", include={name})[name]


def flatten(value: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """A tree of mappings as one mapping of dotted paths; lists and empty mappings are leaves."""
    leaves: dict[str, Any] = {}
    for name, item in value.items():
        path = f"{prefix}{name}"
        if isinstance(item, Mapping) and item:
            leaves.update(flatten(item, f"{path}."))
        else:
            leaves[path] = item
    return leaves


_CLASSES: dict[type, dict[str, FieldClass]] = {}


def field_classes(spec: type[BaseModel]) -> dict[str, FieldClass]:
    """The marked class of each top-level field of a spec."""
    if spec not in _CLASSES:
        _CLASSES[spec] = {
            name: item
            for name, info in spec.model_fields.items()
            for item in info.metadata
            if isinstance(item, FieldClass)
        }
    return _CLASSES[spec]


def class_of(spec: BaseModel, path: str) -> FieldClass | None:
    """The marked class of a field, or of the block that it stands in."""
    around: Any = spec
    for name in path.split("."):
        if not isinstance(around, BaseModel):
            return None
        if (found := field_classes(type(around)).get(name)) is not None:
            return found
        around = getattr(around, name, None)
    return None


def without_metadata(spec: BaseModel, values: Mapping[str, Any]) -> dict[str, Any]:
    """The JSON form of a block without the fields, also of blocks in it, whose change runs nothing, and blocks that hold no other.

    Lists are left as they are: they count as a whole.
    """
    noted, kept = metadata_fields(type(spec)), {}
    for name, value in values.items():
        inner = getattr(spec, name, None)
        if isinstance(inner, BaseModel) and isinstance(value, Mapping) and value:
            value = without_metadata(inner, value)
            if not value:
                continue
        if name not in noted:
            kept[name] = value
    return kept


def metadata_fields(spec: type[BaseModel]) -> frozenset[str]:
    """The fields of a spec whose change runs nothing."""
    return frozenset(name for name, item in field_classes(spec).items() if item is FieldClass.METADATA)
