"""What a monitor is told about a language model: its prompts, its answers, what they cost, and who judges them."""

from __future__ import annotations

from datetime import date
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from mlctl.types.jobs.profile import Source

GOLDEN_TEMPLATE = (
    "mlctl/golden"  # what a monitor's own requests call themselves in the log, so that none counts as a user's
)


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True, allow_inf_nan=False)


class _Windowed(_Told):
    """Requests of the last `window_seconds` are held against those of the time before it."""

    window_seconds: float
    baseline_window_seconds: float
    alpha: float
    min_rows: int


class PromptsPart(_Windowed):
    """Which templates are in use, and whether what is asked has changed."""

    margins: dict[str, float]
    topics: bool


class Golden(_Told):
    """Prompts whose answers are known: asked of the deployment, and compared with them, or with those of the first time."""

    source: Source
    prompt: str
    answer: str | None = None
    system: str | None = None
    url: str
    model: str
    token: str | None = None
    every_seconds: float
    most: int
    max_tokens: int
    timeout_seconds: float
    compare: Literal["similarity", "exact"]
    margin: float
    kept: str  # the folder with what was answered
    identity: str  # of what is asked: another one begins anew


class ResponsesPart(_Windowed):
    """What is answered: how long, why it ended, how often it is refused, empty, or no JSON."""

    margins: dict[str, float]
    refusals: dict[str, list[str]]  # language to patterns; empty when refusals are not looked for
    expect_json: bool
    golden: Golden | None = None


class Price(_Told):
    """US dollars for a million tokens, from a day on."""

    input_per_million: float = Field(ge=0)
    output_per_million: float = Field(ge=0)
    cached_per_million: float | None = Field(default=None, ge=0)
    valid_from: date | None = None


class CostPart(_Windowed):
    """What requests cost, and why that changed."""

    margin: float
    prices: dict[str, list[Price]] = {}
    provider: str | None = None  # of the table of prices that `genai-prices` brings
    usd_per_hour: float | None = None


class HumanLabels(_Told):
    """Answers that people judged."""

    source: Source
    prompt: str
    answer: str
    label: str


class JudgePart(_Windowed):
    """A sample of the answers, judged by a language model."""

    url: str
    model: str
    api_key: str | None = None
    rubric: str
    seed: int
    sample: int
    parallel: int
    timeout_seconds: float
    margin: float
    labels: HumanLabels | None = None
    anchors: int
    kept: str  # the folder with what the judge said
