"""The field `strategy` of a training: how its work is spread over processes."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, GetJsonSchemaHandler

from mlctl.provider import Block
from mlctl.types.units import MOST


class Single(Block):
    """One process."""

    type: Literal["single"]


class DataParallel(Block):
    """Every process works on its share of each batch. `ddp`: each holds the whole model. `zero1`, `zero2`, `zero3`: they share the
    optimizer's state, the gradients too, the weights too (DeepSpeed). `fsdp`: they share all three (PyTorch's fully_shard)."""

    type: Literal["ddp", "fsdp", "zero1", "zero2", "zero3"]
    processes: Annotated[int, Field(ge=1, lt=MOST)]


class TensorParallel(Block):
    """Every weight matrix is cut over the processes, which all work on the same rows."""

    type: Literal["tensor"]
    processes: Annotated[int, Field(ge=2, lt=MOST)]


class PipelineParallel(Block):
    """The layers are cut into stages, one a process; a batch goes through them in `microbatches` parts."""

    type: Literal["pipeline"]
    stages: Annotated[int, Field(ge=2, lt=MOST)]
    microbatches: Annotated[int, Field(ge=1, lt=MOST)] = 4


class ThreeD(Block):
    """Data, tensor and pipeline parallel at once: `data` x `tensor` x `pipeline` processes."""

    type: Literal["3d"]
    data: Annotated[int, Field(ge=1, lt=MOST)]
    tensor: Annotated[int, Field(ge=1, lt=MOST)]
    pipeline: Annotated[int, Field(ge=1, lt=MOST)]
    microbatches: Annotated[int, Field(ge=1, lt=MOST)] = 4


class Auto(Block):
    """Let mlctl choose from the model's size and the devices; the plan says what and why."""

    type: Literal["auto"]
    processes: Annotated[
        int | None, Field(ge=1, lt=MOST, description="As many as there are devices when it is not given")
    ] = None


class _Short:
    """In the schema, a block or one of the names that are short for one."""

    def __get_pydantic_json_schema__(self, core: Any, handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return {"anyOf": [{"enum": ["auto", "single"]}, handler(core)]}


_WRITTEN = {
    **{name: f"{{type: {name}, processes: 2}}" for name in ("ddp", "fsdp", "zero1", "zero2", "zero3", "tensor")},
    "pipeline": "{type: pipeline, stages: 2}",
    "3d": "{type: 3d, data: 2, tensor: 2, pipeline: 2}",
}


def _strategy(value: object) -> object:
    """`strategy: auto` and `strategy: single` are short for `{type: ...}`; the others have no sense without numbers."""
    if isinstance(value, str) and value in _WRITTEN:
        raise ValueError(f"`{value}` is told over how many processes; write `{_WRITTEN[value]}`")
    return {"type": value} if value in ("auto", "single") else value


Strategy = Annotated[
    Single | DataParallel | TensorParallel | PipelineParallel | ThreeD | Auto,
    Field(discriminator="type"),
    BeforeValidator(_strategy),
    _Short(),
]
