"""What a `batch_predictions` block may say."""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import Annotated, Literal

from pydantic import AfterValidator, BeforeValidator, Field, model_validator

from mlctl.provider import Block, Metadata, Provided, Reference, Spec
from mlctl.types.jobs.used_model import check_name
from mlctl.types.units import MOST


def _typed(value: object) -> object:
    """`engine: vllm` is short for `{type: vllm}`, `executor: ray` for `{type: ray}`."""
    return {"type": value} if isinstance(value, str) else value


def _folder(text: str) -> str:
    path = PurePosixPath(text)
    if path.is_absolute() or not path.parts or path.parts[0] == ".mlctl" or ".." in path.parts:
        raise ValueError(f"{text!r} is not a folder of the project; write for example `predictions/churn`")
    return path.as_posix()


def _distinct(names: list[str]) -> list[str]:
    if len(set(names)) < len(names):
        raise ValueError("a name is written twice")
    return names


class TransformersEngine(Block):
    """Transformers, in the program itself: nothing to install, and slow without a GPU."""

    type: Literal["transformers"]


class VllmEngine(Block):
    """`vllm run-batch`, in the environment that `mlctl engine install vllm` makes, or in another one."""

    type: Literal["vllm"]
    python: Annotated[str | None, Field(min_length=1, description="The interpreter of an environment with vLLM")] = None
    max_model_len: Annotated[
        int | None, Field(ge=16, description="Tokens of a prompt and its answer; without it what the model takes")
    ] = None
    kv_cache_gib: Annotated[
        int, Field(ge=1, lt=MOST, description="Memory for the cache of keys, where there is no GPU")
    ] = 1


class GenerateSpec(Block):
    """How a language model is asked. State the column of prompts, or that of conversations."""

    prompt: Annotated[str | None, Field(min_length=1, description="A column of texts")] = None
    messages: Annotated[str | None, Field(min_length=1, description="A column of lists of {role, content}")] = None
    max_new_tokens: Annotated[int, Field(ge=1, lt=MOST, description="The longest answer")] = 128
    temperature: Annotated[
        float, Field(ge=0, le=2, description="0 takes the likeliest token each time, and the same answers every time")
    ] = 0.0
    engine: Annotated[
        Annotated[TransformersEngine | VllmEngine, Field(discriminator="type")], BeforeValidator(_typed)
    ] = TransformersEngine(type="transformers")

    @model_validator(mode="after")
    def _one(self) -> GenerateSpec:
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("state either `prompt` or `messages`: the column that the model answers")
        if self.temperature > 0 and self.engine.type == "transformers":
            raise ValueError(
                "`temperature` needs `engine: vllm`; a batch with Transformers takes the likeliest token each time"
            )
        return self


class LocalSpec(Block):
    """One process of this machine, one part after the other."""

    type: Literal["local"]


class RaySpec(Block):
    """Several parts at once on a Ray cluster, whose machines see the project under the same path."""

    type: Literal["ray"]
    address: Annotated[
        str | None, Field(min_length=1, description="Of the cluster; without it one of this machine for the job's time")
    ] = None
    workers: Annotated[int, Field(ge=1, lt=MOST, description="How many parts are predicted at once")] = 2
    cpus_per_worker: Annotated[float, Field(gt=0)] = 1.0


class BatchSpec(Spec):
    """A model over all rows of a dataset, once for each content of both."""

    model: Annotated[
        str,
        Provided("model"),
        AfterValidator(check_name),
        Field(description="`name@alias` that an evaluation registers, or `${training.NAME.model}`"),
    ]
    dataset: Annotated[str, Reference("datasets"), Field(description="The rows to predict")]
    features: Annotated[
        list[Annotated[str, Reference("feature_views")]],
        AfterValidator(_distinct),
        Field(
            default_factory=list,
            description="The feature views that the model reads, joined as they were known at each row's time",
        ),
    ]
    columns: Annotated[
        list[str],
        AfterValidator(_distinct),
        Field(
            default_factory=list, description="Columns of the dataset that go into the output beside its key and time"
        ),
    ]
    where: Annotated[str | None, Field(min_length=1, description="Only rows for which this SQL condition holds")] = None
    output: Annotated[
        str | None,
        AfterValidator(_folder),
        Field(
            description="A folder of the project that shows the newest predictions; without it they are an output only"
        ),
    ] = None
    rows_per_part: Annotated[
        int, Field(ge=1, lt=MOST, description="Rows of one Parquet file; a kill loses one part's work")
    ] = 100_000
    generate: Annotated[GenerateSpec | None, Field(description="For a language model, and only for one")] = None
    executor: Annotated[
        Annotated[LocalSpec | RaySpec, Field(discriminator="type")], BeforeValidator(_typed), Metadata
    ] = LocalSpec(type="local")
