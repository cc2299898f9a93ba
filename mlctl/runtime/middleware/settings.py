"""What the middleware is told."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from .content import CAPTURES, HASH

ENVIRONMENT = "MLCTL_MIDDLEWARE"

# Requests that are predictions: logged, counted, cached and limited. Everything else is only asked for the token.
PATHS = (
    "/predict", "/v1/chat/completions", "/v1/completions", "/v1/responses", "/v1/messages", "/v1/embeddings", "/v1/rerank",
    "/v1/score", "/pooling", "/classify",
)  # fmt: skip
OPEN = ("/healthz", "/readyz", "/health", "/ping")  # asked without a token: they say nothing but whether we live


@dataclass(frozen=True)
class Limits:
    """How many predictions are worked on at once, and how many may wait for that; whoever comes then gets a 503 with Retry-After."""

    max_running: int
    max_waiting: int = 0
    retry_after_seconds: float = 1.0


@dataclass(frozen=True)
class Cache:
    """How long an answer is given again to an equal request, and how many are kept: in this process, or in Redis (`url`).

    `scope` tells servers apart that share a Redis and answer otherwise: of another model by the same name and version, say.
    """

    ttl_seconds: float
    max_entries: int = 10_000
    url: str | None = None
    scope: str = ""


@dataclass(frozen=True)
class Traces:
    """Where spans are sent (a receiver of OTLP over HTTP), with what headers, and the share of the traces that begin here."""

    endpoint: str
    sample: float = 1.0
    headers: dict[str, str] = field(default_factory=dict, repr=False)


@dataclass(frozen=True)
class Settings:
    """All of it. Paths are absolute, or relative to where the server runs."""

    deployment: str
    model: str
    version: str
    # Whether all requests come through a gateway of ours: then, and only then, what their headers say of variants is believed.
    behind_gateway: bool = False
    folder: str | None = None  # of the release: statistics are kept in `stats/` below it
    log_folder: str | None = None  # of the prediction log; without one nothing is logged
    log_days: int | None = None  # that are kept of it; None for all
    capture: str = (
        HASH  # what is kept of a language model's prompts and answers, in the log and in spans (`content.CAPTURES`)
    )
    unit_header: str | None = None  # names the unit of a request: the one that a gateway splits by
    feature_ref: dict[str, str] | None = None  # the versions of the feature views that rows come from, by name
    traces: Traces | None = None
    cache: Cache | None = None
    limits: Limits | None = None
    max_body_bytes: int = 1024 * 1024
    body_seconds: float | None = 30.0  # within which a request's body has to arrive
    timeout_seconds: float | None = None  # within which an answer has to begin, waiting included
    token: str | None = field(default=None, repr=False)  # who has it may ask; without one, everybody may
    paths: tuple[str, ...] = PATHS
    names: tuple[str, ...] = ()  # what requests to a language model may call it; without any, whatever its engine takes

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Settings:
        """Read what was written for us. Raises ValueError for a name that is not known: a typo must not open a server."""
        known = {item.name for item in fields(cls)}
        if unknown := sorted(stored.keys() - known):
            raise ValueError(f"{ENVIRONMENT} has unknown settings: {', '.join(unknown)}")
        given = dict(stored)
        if given.get("cache") is not None:
            given["cache"] = Cache(**given["cache"])
        if given.get("limits") is not None:
            given["limits"] = Limits(**given["limits"])
        if given.get("traces") is not None:
            given["traces"] = Traces(**given["traces"])
        if given.get("capture", HASH) not in CAPTURES:
            raise ValueError(f"{ENVIRONMENT} has an unknown `capture`")
        given |= {name: tuple(given[name]) for name in ("paths", "names") if name in given}
        return cls(**given)

    @classmethod
    def from_environment(cls) -> Settings:
        """Raises ValueError when the variable is not there, or is not what we write."""
        text = os.environ.get(ENVIRONMENT)
        if text is None:
            raise ValueError(f"the environment variable {ENVIRONMENT} is not set")
        return cls.from_json(json.loads(text))
