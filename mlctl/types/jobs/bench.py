"""What the load test of a deployment is told, and what it finds."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Load(_Part):
    """Closed: so many clients, each sends its next request when it has the answer. Open: so many requests a second arrive
    at random (Poisson), whether the last ones are answered or not."""

    kind: Literal["closed", "open"]
    value: float

    def __str__(self) -> str:
        """`8 clients`, or `100 qps`."""
        return f"{self.value:g} {'qps' if self.kind == 'open' else 'clients' if self.value != 1 else 'client'}"


class BenchJob(_Part):
    """The parameters of the `bench` program. `bodies` is a file of requests, one JSON object a line, relative to the project."""

    url: str
    path: str
    bodies: str
    loads: list[Load]
    seconds: float
    warmup_seconds: float
    timeout_seconds: float
    streaming: bool = False  # answers are server-sent events of the OpenAI API: count tokens, time the first one
    token: str | None = None  # sealed in the job's file
    seed: int = 0


# How many values a quantile takes to be one at all, and not the largest of them; and to be more than the luck of the slowest few.
LEAST_VALUES = {"p95": 20, "p99": 100}
STEADY_VALUES = {"p99": 1000}


class Spread(_Part):
    """The distribution of one measure, in seconds."""

    mean: float
    p50: float
    p95: float
    p99: float
    max: float
    number: int | None = None  # how many values it is of

    def known(self, name: str) -> bool:
        """Whether there are enough values for that quantile to be one."""
        return self.number is None or self.number >= LEAST_VALUES.get(name, 1)

    def steady(self, name: str) -> bool:
        """Whether another run would find about the same."""
        return self.number is None or self.number >= STEADY_VALUES.get(name, 1)


class Lengths(_Part):
    """The distribution of lengths, in tokens."""

    mean: float
    least: int
    most: int


class Sent(_Part):
    """What was asked, so that it can be asked again."""

    source: Literal["synthetic", "log", "file", "zeros"]
    bodies: int  # that were sent in turn
    digest: str  # of them all
    max_tokens: int | None = None  # of an answer of a language model, where all of them say the same


class Point(_Part):
    """What one load came to. A request that is late or fails counts; times are of those that were answered well, and in an
    open loop from when a request was due, so that a server that stalls cannot hide it (coordinated omission)."""

    load: Load
    requests: int
    errors: int
    unsent: int = 0  # due, and not sent before the end since too many were under way
    statuses: dict[str, int] = {}
    seconds: float
    rate: float  # good answers a second
    latency: Spread | None
    ttft: Spread | None = None
    tpot: Spread | None = None  # time per output token after the first
    tokens_per_second: float | None = None
    prompt_tokens: Lengths | None = None
    answer_tokens: Lengths | None = None
    histogram: list[int] = []  # of latency: by decades from 0.1 ms, ten buckets each

    @property
    def error_rate(self) -> float:
        """Failed requests as a share of those sent."""
        return self.errors / self.requests if self.requests else 0.0


class BenchReport(_Part):
    """All loads, in the order they were asked for."""

    url: str
    points: list[Point]
    sent: Sent | None = None
