"""The `monitor` program: what it is asked, the reference it compares with, and the names both sides use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.labels import EstimatedPart, LabelsPart, ProxiesPart
from mlctl.types.jobs.monitor_llm import CostPart, JudgePart, PromptsPart, ResponsesPart
from mlctl.types.jobs.reference import Sketch

ALL = "(all features)"  # under which tests that look at all features together are told
SCORE = "prediction score"  # stands beside the features as one more column; the space keeps it apart from all of their names
MODEL_CODES = (200,)  # answers that hold a prediction


class ProfileColumn(BaseModel):
    """One column of a training profile, as far as a comparison needs it: a sketch of its numbers, or the share of each category.

    A profile of an older version has a sample of the numbers, and no sketch.
    """

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    kind: Literal["numeric", "categorical"]
    nulls: int = Field(default=0, ge=0)
    sketch: Sketch | None = None
    sample: list[Any] = []
    categories: dict[str, float] = {}


class Profile(BaseModel):
    """A training profile: how the features, and the model's predictions on them, were distributed when it was trained."""

    model_config = ConfigDict(extra="ignore", frozen=True, defer_build=True)

    rows: int = Field(ge=1)
    columns: dict[str, ProfileColumn]
    score: ProfileColumn | None = None


class TogetherPart(BaseModel):
    """Tests of all features together: which, and the two files that were frozen for them."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    methods: list[str]
    encoding: str
    tensors: str


class DataPart(BaseModel):
    """Compare features and scores of the last `window_seconds` with a frozen reference. Paths are project-relative."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    reference: str
    tests: dict[str, list[str]]  # column to methods
    untested: dict[str, str] = {}  # column to why it has no test
    together: TogetherPart | None = None
    alpha: float
    correction: Literal["holm", "bh"]
    margins: dict[str, float]
    min_rows: int
    unit: Literal["key", "row"] = (
        "key"  # what counts as one: all rows of a key, of which the latest is taken, or each row
    )
    window_seconds: float


class Parts(BaseModel):
    """What a monitor watches; what is None is not asked for. Each part is one module of `mlctl.runtime.monitor`."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    data: DataPart | None = None
    labels: LabelsPart | None = None
    estimated: EstimatedPart | None = None
    proxies: ProxiesPart | None = None
    prompts: PromptsPart | None = None
    responses: ResponsesPart | None = None
    cost: CostPart | None = None
    judge: JudgePart | None = None


class MonitorJob(BaseModel):
    """Watch what a deployment did until a moment. `predictions` is the folder of its prediction log."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    monitor: str
    predictions: str
    report: str | None = None  # where the page goes; without it none is drawn
    until: str
    parts: Parts
    min_impact: dict[str, float] = {}  # by metric: alarms that surely mean less than that go to the digest
    memory: dict[str, Any] = {}  # of the run before, by part: what it has to know to go on
    asks: bool = True  # whether parts may ask others, such as a judge; else what those said before is all there is
    acts: bool = False  # whether somebody is told of an alarm: what a killed command left undone is made up for


def remembered(outputs: Mapping[str, Any]) -> dict[str, Any]:
    """What the parts of a run, by its outputs, have the next one know."""
    return {name: part["memory"] for name, part in outputs["parts"].items() if "memory" in part}


class BacktestJob(BaseModel):
    """Watch as it would have been watched at each of several moments. Paths are project-relative."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    monitor: str
    predictions: str
    moments: list[str]
    parts: Parts
    min_impact: dict[str, float] = {}


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
