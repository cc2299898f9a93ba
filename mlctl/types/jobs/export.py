"""Parameters of the `export` worker program, and the files it leaves in its folder."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.train import TableInput
from mlctl.types.jobs.used_model import UsedModel

Format = Literal["onnx", "onnx_int8", "gguf"]
Precision = Literal["f32", "f16", "q8_0", "q5_0", "q4_0"]  # of the weights of a GGUF file

REPORT_FILE, PAGE_FILE = "export.json", "export.html"
SUFFIXES: dict[Format, str] = {"onnx": ".onnx", "onnx_int8": ".int8.onnx", "gguf": ".gguf"}


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Limits(_Part):
    """How far the exported model may be from its source on the rows of a dataset. A limit that is None is not looked at."""

    max_abs: float | None = None  # the largest difference of a score
    agreement: float | None = None  # the least share of rows with the same decision, or the same answer
    drop: dict[str, float] = {}  # how much worse a metric may be


class Asking(_Part):
    """Of a language model: how its weights are written, what both models answer, and where llama.cpp is."""

    precision: Precision
    prompt: str | None
    messages: str | None
    max_new_tokens: int
    documents: int
    python: str  # the interpreter of an environment with xllamacpp


class ExportJob(_Part):
    """Write a model in another format, and hold it against its source. Paths are relative to the project."""

    address: str
    model: UsedModel
    format: Format
    dataset: TableInput
    target: str | None
    rows: int  # that are compared, at most
    require: Limits
    asking: Asking | None  # with the format `gguf`, and only with it
    file: str  # the name of what is made, in the job's folder
