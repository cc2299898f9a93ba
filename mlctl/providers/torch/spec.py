"""The spec of a training: data, model, how it is optimised, and how its work is spread over processes."""

from __future__ import annotations

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field

from mlctl.provider import Block, Metadata, Reference, Spec
from mlctl.types.change import FieldClass
from mlctl.types.units import Share
from mlctl.types.value import Json

_EVERY = re.compile(r"([1-9][0-9]*)\s*(steps?|epochs?)")


def _every(text: str) -> str:
    match = _EVERY.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"{text!r} is not an interval; write `50 steps` or `1 epochs`")
    return f"{match[1]} {match[2].removesuffix('s')}s"


def _entrypoint(text: str) -> str:
    path, colon, function = text.rpartition(":")
    if not colon or not path.endswith(".py") or not function.isidentifier():
        raise ValueError(f"{text!r} is not an entry point; write the file and the function, `src/model.py:build`")
    return text


class Split(Block):
    """Which rows are held back to validate on: the latest ones, or a random draw with the training's seed."""

    by: Literal["time", "random"] = "time"
    test: Annotated[Share, Field(gt=0, lt=1)] = 0.2


class Data(Block):
    """What is learnt from: a feature service, or feature views. Without either, the labels' own columns are the features:
    `columns`, or all that fit."""

    labels: Annotated[str, Reference("datasets")]
    features: Annotated[list[Annotated[str, Reference("feature_views")]], Field(default_factory=list)]
    service: Annotated[
        str | None,
        Reference("feature_services"),
        Field(description="The features, computed ones too, and their order; instead of `features`"),
    ] = None
    columns: Annotated[list[str] | None, Field(min_length=1)] = None
    target: str
    split: Split = Split()


class Mlp(Block):
    """A multi-layer perceptron with ReLU; `hidden: []` is logistic or linear regression."""

    type: Literal["mlp"]
    hidden: list[Annotated[int, Field(ge=1)]]
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0


class Python(Block):
    """A function of the project, `build(features: list[str], **params) -> torch.nn.Module`, that makes the model.

    The module takes standardised features (rows, features) without missing values, and gives logits, or values for a
    regression, of shape (rows,) or (rows, 1).
    """

    type: Literal["python"]
    entrypoint: Annotated[str, AfterValidator(_entrypoint)]
    params: Annotated[dict[str, Json], Field(default_factory=dict)]

    @property
    def file(self) -> str:
        """The file of the entry point."""
        return self.entrypoint.rpartition(":")[0]

    @property
    def function(self) -> str:
        """The function of the entry point."""
        return self.entrypoint.rpartition(":")[2]


class Single(Block):
    """One process."""

    type: Literal["single"]


class Ddp(Block):
    """Data-parallel: every process holds the model and works on its share of each batch."""

    type: Literal["ddp"]
    processes: Annotated[int, Field(ge=1)]


class Optimizer(Block):
    """How weights are updated. Weight decay is decoupled for adamw, and L2 for sgd."""

    type: Literal["adamw", "sgd"] = "adamw"
    lr: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)] = 0.0


class Checkpoint(Block):
    """How often the state of a training is saved, and how many of the newest are kept."""

    every: Annotated[str, AfterValidator(_every)] = "1 epochs"
    keep: Annotated[int, Field(ge=1)] = 2


class TrainingSpec(Spec):
    """One trained model. How often it is checkpointed does not change it, so that field retrains nothing."""

    data: Annotated[Data, FieldClass.DATA]
    model: Annotated[Mlp | Python, Field(discriminator="type")]
    task: Literal["binary", "regression"] | None = None
    strategy: Annotated[Single | Ddp, Field(discriminator="type")] = Single(type="single")
    precision: Literal["fp32", "bf16"] = "fp32"
    epochs: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)] = 256
    optimizer: Optimizer
    checkpoint: Annotated[Checkpoint, Metadata] = Checkpoint()
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
