"""Parameters of the `batch` worker program, and the files it leaves."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.train import TableInput
from mlctl.types.jobs.used_model import UsedModel

# Inside the job's folder.
PARTS = "parts"  # what is published: `part-00000.parquet` and so on, and the manifest
MANIFEST_FILE = "_manifest.json"  # in PARTS, written last: what was predicted, by which model, and every part


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class LocalBatch(_Part):
    """In the program itself, one part after the other."""

    type: Literal["local"] = "local"


class RayBatch(_Part):
    """Several parts at once, as tasks of a Ray cluster whose machines see the project under the same path."""

    type: Literal["ray"] = "ray"
    address: str | None = None  # None: a cluster of this machine's own, for the time of the job
    workers: int = 2
    cpus_per_worker: float = 1.0


class TransformersEngine(_Part):
    """Transformers in the program's own process."""

    type: Literal["transformers"] = "transformers"


class VllmEngine(_Part):
    """`vllm run-batch` in an environment of its own. `options` are arguments of vLLM, rendered from the block."""

    type: Literal["vllm"] = "vllm"
    python: str  # the interpreter of the environment
    options: list[str] = []
    environment: dict[str, str] = {}


class Generation(_Part):
    """What a language model is asked: the column of prompts or of conversations, and how it answers."""

    prompt: str | None = None
    messages: str | None = None
    max_new_tokens: int
    temperature: float
    engine: Annotated[TransformersEngine | VllmEngine, Field(discriminator="type")]


class BatchJob(_Part):
    """Everything that decides what is predicted, and where it goes. Paths are relative to the project."""

    model: UsedModel
    dataset: TableInput
    where: str | None
    columns: list[str]  # of the dataset, carried into the output beside its key and time
    rows_per_part: int
    generation: Generation | None
    executor: Annotated[LocalBatch | RayBatch, Field(discriminator="type")]
