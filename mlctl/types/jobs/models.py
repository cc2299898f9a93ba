"""Parameters of the `models` worker program: questions to MLflow about what was trained and registered."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, Field


class ListModels(BaseModel):
    """All versions of all registered models."""

    op: Literal["list"] = "list"
    uri: str


class Trace(BaseModel):
    """Where a model comes from, and whether that is still as it was: of a version in the registry, or of a training's run."""

    op: Literal["trace"] = "trace"
    uri: str
    name: str | None = None
    version: str | None = None
    alias: str | None = None  # without both, the newest version
    run_id: str | None = None  # instead of a name


ModelsJob = Annotated[ListModels | Trace, Field(discriminator="op")]


class Check(BaseModel):
    """One thing that a model was made of, and what has become of it since."""

    what: Literal["data", "commit", "code", "base", "environment"]
    name: str
    status: Literal[
        "same", "changed", "gone", "elsewhere", "unknown"
    ]  # elsewhere: a commit that is not the one checked out
    detail: str = ""
