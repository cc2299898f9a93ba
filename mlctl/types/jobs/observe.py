"""What a server is told of how it is to be observed: who asks, where its traces go, what of its texts is kept, what is explained."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict

Capture = Literal["none", "hash", "redacted", "full"]
Method = Literal["auto", "tree", "gradient", "permutation"]

EXPLANATIONS_FOLDER = (
    "explanations"  # beside the one of the prediction log: a file for each day, a line for each prediction
)


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class TracesTo(_Part):
    """A receiver of OTLP over HTTP, and the share of the traces that begin here which it is sent. Headers may be secrets."""

    endpoint: str
    sample: float
    headers: dict[str, str] = {}


class Explaining(_Part):
    """Up to so many predictions a minute are explained. What does not add up to within `tolerance` of the score is not kept."""

    per_minute: int
    method: Method
    tolerance: float
    folder: str  # relative to the project


class Observation(_Part):
    """All of it. One that says nothing is left out of what a server is told, so that it makes no other release."""

    unit_header: str | None = None  # by which a gateway splits
    traces: TracesTo | None = None
    capture: Capture = "redacted"  # of prompts and answers
    explain: Explaining | None = None
    json_logs: bool = False


UNOBSERVED = Observation()
