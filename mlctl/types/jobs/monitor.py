"""The `monitor` program: what it is asked, the reference it compares with, and the names both sides use."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

SCORE = "prediction score"  # stands beside the features as one more column; the space keeps it apart from all of their names
MODEL_CODES = (200,)  # answers that hold a prediction


class ProfileColumn(BaseModel):
    """One column of a training profile, as far as a comparison needs it: values drawn from it, or the share of each category."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    kind: Literal["numeric", "categorical"]
    nulls: int = Field(default=0, ge=0)
    sample: list[Any] = []
    categories: dict[str, float] = {}


class Profile(BaseModel):
    """A training profile: how the features, and the model's predictions on them, were distributed when it was trained."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    rows: int = Field(ge=1)
    columns: dict[str, ProfileColumn]
    score: ProfileColumn | None = None


class MonitorJob(BaseModel):
    """Compare the predictions logged from `since` (None: from the first) to `until` with a frozen reference. Paths are project-relative."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    monitor: str
    reference: str
    predictions: str
    report: str
    tests: dict[str, list[str]]  # column to methods
    alpha: float
    correction: Literal["holm", "bh"]
    margins: dict[str, float]
    min_rows: int
    since: str | None
    until: str
