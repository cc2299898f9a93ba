"""Which fields a typed block has, at any depth, so that a message can name them."""

from __future__ import annotations

import typing
from collections.abc import Iterator, Sequence
from typing import Any

from pydantic import BaseModel


def field_names(model: type[BaseModel]) -> Iterator[str]:
    """The fields of a model as they are written in YAML."""
    return (info.alias or name for name, info in model.model_fields.items())


def attribute(model: type[BaseModel], written: object) -> str:
    """The attribute that holds a field, by its name in YAML; nothing for a name that is no field."""
    return next((name for name, info in model.model_fields.items() if (info.alias or name) == written), "")


def models_at(model: type[BaseModel], loc: Sequence[str | int]) -> set[type[BaseModel]]:
    """The models that a block at this place may be; parts of `loc` that are not fields narrow a union, or are an index."""
    models = {model}
    for part in loc:
        inner = {
            found
            for owner in models
            for name, info in owner.model_fields.items()
            if (info.alias or name) == part
            for found in _models_in(info.annotation)
        }
        models = inner or {item for item in models if part == item.__name__ or part in _tags(item)} or models
    return models


def _models_in(annotation: Any) -> set[type[BaseModel]]:
    if isinstance(annotation, type) and not typing.get_args(annotation):
        return {annotation} if issubclass(annotation, BaseModel) else set()
    return {model for item in typing.get_args(annotation) for model in _models_in(item)}


def _tags(model: type[BaseModel]) -> set[Any]:
    return {
        value
        for info in model.model_fields.values()
        if typing.get_origin(info.annotation) is typing.Literal
        for value in typing.get_args(info.annotation)
    }
