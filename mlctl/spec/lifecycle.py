"""What is wrong with the `lifecycle` of a block: fields to ignore that its kind does not have, or that cannot stay behind."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

from mlctl.provider import Provided, Reference, Spec
from mlctl.spec.fields import field_names
from mlctl.types.diagnostic import Diagnostic, did_you_mean

_ENGINE = frozenset({"lifecycle", "depends_on", "timeout", "retries"})


def lifecycle_problems(spec: Spec) -> Iterator[Diagnostic]:
    """Each entry of `ignore_changes` must be a field, and one whose recorded value can stand while the project moves on."""
    for index, text in enumerate(spec.lifecycle.ignore_changes):
        place: tuple[str | int, ...] = ("lifecycle", "ignore_changes", index)
        head, *rest = text.split(".")
        if head in _ENGINE:
            why = "it tells the engine what to do, and nothing else could"
            yield Diagnostic("spec.cannot-ignore", f"`{text}` cannot be ignored", why, "take it out", path=place)
            continue
        unknown = _unknown(type(spec), [head, *rest])
        if unknown is not None:
            name, known = unknown
            summary = f"`ignore_changes` names `{text}`, and there is no field `{name}`"
            yield Diagnostic(
                "spec.unknown-field", summary, "ignoring it would do nothing", did_you_mean(name, known), path=place
            )
        elif _names_resources(type(spec), [head, *rest]):
            why = "it names another resource; what was recorded may not be there any more"
            yield Diagnostic("spec.cannot-ignore", f"`{text}` cannot be ignored", why, "take it out", path=place)


def _unknown(model: type[BaseModel], path: list[str]) -> tuple[str, list[str]] | None:
    """The first part of a path that is no field, and the fields there are; None when it leads somewhere."""
    models = [model]
    for depth, part in enumerate(path):
        annotations = [_field(item, part) for item in models]
        if all(item is None for item in annotations):
            return ".".join(path[: depth + 1]), sorted({name for item in models for name in field_names(item)})
        found = [item for annotation in annotations if annotation is not None for item in _members(annotation[0])]
        if any(isinstance(item, type) and issubclass(item, Mapping) for item in found):
            return None  # the names below are the author's own
        models = [item for item in found if isinstance(item, type) and issubclass(item, BaseModel)]
        if not models and depth + 1 < len(path):
            return ".".join(path[: depth + 2]), []
    return None


def _names_resources(model: type[BaseModel], path: list[str]) -> bool:
    """Whether the field at a path, or anything in it, is marked to name a resource."""
    models = [model]
    for depth, part in enumerate(path):
        found = [item for item in (_field(model, part) for model in models) if item is not None]
        if depth + 1 == len(path):
            return any(_marked(metadata) or _marked_within(annotation, frozenset()) for annotation, metadata in found)
        if any(_marked(metadata) for _, metadata in found):
            return True
        models = [item for annotation, _ in found for item in _members(annotation) if _is_block(item)]
    return False


def _field(model: type[BaseModel], written: str) -> tuple[Any, list[Any]] | None:
    """The annotation and the markers of a field by its name in YAML."""
    for name, info in model.model_fields.items():
        if (info.alias or name) == written:
            return info.annotation, list(info.metadata)
    return None


def _members(annotation: Any) -> list[Any]:
    """The classes that a value of an annotation may be of."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        return _members(typing.get_args(annotation)[0])
    if origin is None:
        return [annotation]
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return [origin]
    return [found for item in typing.get_args(annotation) for found in _members(item)]


def _marked_within(annotation: Any, inside: frozenset[type[BaseModel]]) -> bool:
    if typing.get_origin(annotation) is typing.Annotated:
        inner, *metadata = typing.get_args(annotation)
        return _marked(metadata) or _marked_within(inner, inside)
    if _is_block(annotation):
        return annotation not in inside and any(
            _marked(info.metadata) or _marked_within(info.annotation, inside | {annotation})
            for info in annotation.model_fields.values()
        )
    return any(_marked_within(item, inside) for item in typing.get_args(annotation))


def _marked(metadata: list[Any]) -> bool:
    return any(isinstance(item, Reference | Provided) for item in metadata)


def _is_block(annotation: Any) -> bool:
    return isinstance(annotation, type) and not typing.get_args(annotation) and issubclass(annotation, BaseModel)
