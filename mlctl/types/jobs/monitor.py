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


class DataPart(BaseModel):
    """Compare features and scores of the last `window_seconds` with a frozen reference. Paths are project-relative."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    reference: str
    tests: dict[str, list[str]]  # column to methods
    untested: dict[str, str] = {}  # column to why it has no test
    alpha: float
    correction: Literal["holm", "bh"]
    margins: dict[str, float]
    min_rows: int
    window_seconds: float


class Parts(BaseModel):
    """What a monitor watches; what is None is not asked for. Each part is one module of `mlctl.runtime.monitor`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    data: DataPart | None = None


class MonitorJob(BaseModel):
    """Watch what a deployment did until a moment. `predictions` is the folder of its prediction log."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    monitor: str
    predictions: str
    report: str
    until: str
    parts: Parts


class Impact(BaseModel):
    """What an alarm may mean for a metric: the change to expect of it, an interval, and what that rests on."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    metric: str
    change: float  # positive is worse
    low: float
    high: float
    basis: str


class Alarm(BaseModel):
    """One thing that moved, and why that is more than noise."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)

    part: str
    name: str  # the column, metric or figure that moved
    says: str  # one sentence for a person
    method: str
    effect: float | None = None
    margin: float | None = None
    p_adjusted: float | None = None
    impact: Impact | None = None
