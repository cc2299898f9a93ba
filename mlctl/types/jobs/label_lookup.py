"""The `label_lookup` program: which label came for one prediction, from the datasets that monitors join to it."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.labels import Joining


class LabelSource(BaseModel):
    """What one monitor joins: its address, its dataset, and the column that is the label."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    monitor: str
    joining: Joining
    label: str


class LabelLookup(BaseModel):
    """One prediction, by what the log has of it."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    request_id: str
    key: dict[str, Any] | None
    at: str  # ISO 8601
    next_at: str | None = None  # when the next prediction of the same key was made, whose the labels after it are
    sources: list[LabelSource]
