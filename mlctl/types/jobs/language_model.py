"""Parameters of the `language_model` worker program: models in one format made into another."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from mlctl.types.jobs.recipe import Precision


class ConvertJob(BaseModel):
    """Write the model of a GGUF file out as a folder that can be trained: safetensors, configuration, tokenizer."""

    op: Literal["convert"] = "convert"
    source: str  # a GGUF file, or a folder with one
    folder: str  # is made, and may not be there
    precision: Precision = "bf16"


class ExportJob(BaseModel):
    """Copy a trained model to where others take it: as Transformers reads it, or its adapter as PEFT does."""

    op: Literal["export"] = "export"
    source: str  # an output `model` or `adapter` of a training
    folder: str  # is made, and may not be there
    precision: Precision | None = None  # None: as it is
