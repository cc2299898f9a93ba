"""Where a typed block names other resources: the text fields marked `Reference` or `Provided`, at any depth.

The annotations of a class are read once; a project of ten thousand blocks then pays only for its own fields.
"""

from __future__ import annotations

import typing
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from mlctl.provider import Provided, Reference

YamlPath = tuple[str | int, ...]
Marker = Reference | Provided


@dataclass(frozen=True, slots=True)
class Mention:
    """A text that names something, and what it is marked to name."""

    path: YamlPath
    text: str
    marker: Marker


_Visit = Callable[[Any, YamlPath], Iterator[Mention]]
_Field = tuple[str, str, _Visit]  # attribute, name in YAML, what to do with its value

_FIELDS: dict[type[BaseModel], tuple[_Field, ...]] = {}


def mentions(block: BaseModel, path: YamlPath = ()) -> Iterator[Mention]:
    """Every marked text of a block and of the blocks in it."""
    for attribute, name, visit in _fields(type(block)):
        value = getattr(block, attribute)
        if value is not None:
            yield from visit(value, (*path, name))


def _fields(model: type[BaseModel]) -> tuple[_Field, ...]:
    known = _FIELDS.get(model)
    if known is None:
        found = []
        for attribute, info in model.model_fields.items():
            markers = tuple(item for item in info.metadata if isinstance(item, Reference | Provided))
            visit = _visitor(info.annotation, markers, frozenset({model}))
            if visit is not None:
                found.append((attribute, info.alias or attribute, visit))
        known = _FIELDS[model] = tuple(found)
    return known


def _visitor(annotation: Any, markers: tuple[Marker, ...], inside: frozenset[type[BaseModel]]) -> _Visit | None:
    """What to do with a value of this annotation; None when no marked text can be in it. Markers hold for all text within."""
    origin = typing.get_origin(annotation)
    if origin is typing.Annotated:
        inner, *metadata = typing.get_args(annotation)
        own = tuple(item for item in metadata if isinstance(item, Reference | Provided))
        return _visitor(inner, own or markers, inside)
    if isinstance(annotation, type) and issubclass(annotation, str):
        return _text(markers) if markers else None
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return mentions if _may_mention(annotation, inside) else None
    arguments = [_visitor(item, markers, inside) for item in typing.get_args(annotation) if item is not Ellipsis]
    if not any(arguments):
        return None
    if isinstance(origin, type) and issubclass(origin, Mapping):
        return _mapping(arguments[0], arguments[1])
    if isinstance(origin, type) and issubclass(origin, Collection):
        return _items(arguments)
    return _union(typing.get_args(annotation), arguments)


def _may_mention(model: type[BaseModel], inside: frozenset[type[BaseModel]]) -> bool:
    """Whether a marked text can be in a block of this class. One that holds blocks of its own class is taken to have some."""
    if model in inside:
        return True
    for info in model.model_fields.values():
        markers = tuple(item for item in info.metadata if isinstance(item, Reference | Provided))
        if _visitor(info.annotation, markers, inside | {model}) is not None:
            return True
    return False


def _text(markers: tuple[Marker, ...]) -> _Visit:
    def visit(value: Any, path: YamlPath) -> Iterator[Mention]:
        return (Mention(path, value, marker) for marker in markers)

    return visit


def _items(visits: list[_Visit | None]) -> _Visit:
    def visit(value: Any, path: YamlPath) -> Iterator[Mention]:
        for index, item in enumerate(value):
            inner = visits[min(index, len(visits) - 1)]  # one for all items, or one for each place of a tuple
            if inner is not None and item is not None:
                yield from inner(item, (*path, index))

    return visit


def _mapping(key: _Visit | None, item: _Visit | None) -> _Visit:
    def visit(value: Any, path: YamlPath) -> Iterator[Mention]:
        for name, inner in value.items():
            if key is not None:
                yield from key(name, (*path, name))
            if item is not None and inner is not None:
                yield from item(inner, (*path, name))

    return visit


def _union(members: tuple[Any, ...], visits: list[_Visit | None]) -> _Visit:
    """The visitor of the member that a value is of, by its Python type."""
    by_type = [(_runtime_type(member), visit) for member, visit in zip(members, visits, strict=True)]

    def visit(value: Any, path: YamlPath) -> Iterator[Mention]:
        inner = next((inner for kind, inner in by_type if isinstance(value, kind)), None)
        return iter(()) if inner is None else inner(value, path)

    return visit


def _runtime_type(annotation: Any) -> type:
    """The class that values of an annotation have; `object` where only trying would tell."""
    while typing.get_origin(annotation) is typing.Annotated:
        annotation = typing.get_args(annotation)[0]
    kind = typing.get_origin(annotation) or annotation
    if kind is typing.Literal:
        return type(typing.get_args(annotation)[0])
    return kind if isinstance(kind, type) else object
