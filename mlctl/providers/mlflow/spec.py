"""The spec of an evaluation: which model, on which rows, what it must reach, and the name it is registered under."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Annotated, Literal

from pydantic import AfterValidator, ConfigDict, Field

from mlctl.provider import Block, Reference, Spec
from mlctl.types.units import MOST

_MODEL_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_ALIAS = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_VERSION_LIKE = re.compile(r"v\d+|latest", re.IGNORECASE)


def _model_name(text: str) -> str:
    if not _MODEL_NAME.fullmatch(text):
        raise ValueError(f"{text!r} cannot name a registered model; use letters, digits, `_`, `-` and `.`")
    return text


def _alias(text: str) -> str:
    if not _ALIAS.fullmatch(text) or _VERSION_LIKE.fullmatch(text):
        raise ValueError(
            f"{text!r} cannot be an alias; use letters, digits, `_` and `-`, and neither `latest` nor `v1`"
        )
    return text


class Bar(Block):
    """What a metric must reach: a least or greatest value; not to be worse than the champion's by more than the margin; or, for a
    language model, to be better than that of its base, by the margin at least."""

    min: float | None = None
    max: float | None = None
    not_worse_than: Literal["champion"] | None = None
    better_than: Annotated[
        Literal["base"] | None, Field(description="What a language model was before it was trained, on the same rows")
    ] = None
    margin: Annotated[float | None, Field(ge=0)] = None


class Generation(Block):
    """How a language model answers for `exact_match` and `token_f1`: the likeliest token each time."""

    max_new_tokens: Annotated[int, Field(ge=1, lt=MOST, description="The longest answer")] = 64
    documents: Annotated[
        int, Field(ge=1, lt=MOST, description="How many are answered at most, drawn by their content")
    ] = 200


class Register(Block):
    """The registered model and the alias that a model which passes gets; the alias's holder is the champion."""

    name: Annotated[str, AfterValidator(_model_name)]
    alias: Annotated[str, AfterValidator(_alias)]


class EvaluationSpec(Spec):
    """One evaluation: a gate in front of whatever uses the model it registers."""

    model_config = ConfigDict(serialize_by_alias=True)

    model: str
    dataset: Annotated[str, Reference("datasets")]
    require: Annotated[dict[str, Bar], Field(min_length=1)]
    generation: Generation | None = None
    # pydantic's models have a `register` of their own, so the attribute has another name than the field
    register_as: Annotated[Register | None, Field(alias="register")] = None

    def provides(self) -> Iterable[str]:
        """`model:NAME@ALIAS`, for deployments to name."""
        if self.register_as is not None:
            yield f"model:{self.register_as.name}@{self.register_as.alias}"
