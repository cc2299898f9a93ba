"""How a deployment is observed: the block `observe`."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field

from mlctl.provider import Block
from mlctl.types.jobs.observe import Capture, Method
from mlctl.types.secret import HIDDEN, sealed_names

_HEADER = re.compile(r"[A-Za-z0-9-]{1,64}")
_OURS = ("content-type", "content-length", "host", "transfer-encoding", "connection")


def _receiver(url: str) -> str:
    """An address of OTLP over HTTP. Raises ValueError."""
    if url == HIDDEN or sealed_names(url):
        return url
    try:
        found = urlsplit(url)
        good = found.scheme in ("http", "https") and bool(found.hostname) and (found.port is None or found.port > 0)
    except ValueError:
        good = False
    if not good:
        raise ValueError(f"{url!r} is no address of a receiver; write for example `http://127.0.0.1:4318`")
    if found.username or found.password:
        raise ValueError("the address has a user or a password in it: send them by `headers`, from a secret")
    return url


def _headers(given: dict[str, str]) -> dict[str, str]:
    for name, value in given.items():
        if not _HEADER.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a header")
        if name.lower() in _OURS:
            raise ValueError(f"`{name}` is set by what is sent, and not by the project")
        if "\n" in value or "\r" in value:
            raise ValueError(f"the value of `{name}` has more than one line")
    return given


class TracesSpec(Block):
    """Spans of requests, sent to a receiver of OpenTelemetry by OTLP over HTTP."""

    endpoint: Annotated[
        str,
        AfterValidator(_receiver),
        Field(description="The receiver; `/v1/traces` is added, as OTEL_EXPORTER_OTLP_ENDPOINT means it"),
    ]
    sample: Annotated[
        float,
        Field(gt=0, le=1, description="The share of traces that begin here; a caller's own choice stands"),
    ] = 0.1
    headers: Annotated[
        dict[str, str],
        AfterValidator(_headers),
        Field(default_factory=dict, description="Sent along, such as a key from `${env.OTLP_KEY}`"),
    ]


class ExplainSpec(Block):
    """Some predictions are explained by SHAP values, beside the server and not in the time of a request."""

    per_minute: Annotated[int, Field(ge=1, le=6000, description="The most predictions that are explained a minute")] = 6
    method: Annotated[
        Method,
        Field(description="`auto` takes `tree` for trees, `gradient` for networks of torch, and else `permutation`"),
    ] = "auto"
    tolerance: Annotated[
        float,
        Field(
            gt=0,
            le=1,
            description="How far the parts may add up to something else than the score, relative to the larger of the score and what it starts from",
        ),
    ] = 0.01


class ObserveSpec(Block):
    """What is told of a deployment's requests, to whom."""

    traces: TracesSpec | None = None
    capture: Annotated[
        Capture,
        Field(
            description="What is kept of prompts and answers in log and spans: nothing, digests, masked texts, texts"
        ),
    ] = "redacted"
    explain: ExplainSpec | None = None
    logs: Annotated[Literal["text", "json"], Field(description="How servers and controller write their own logs")] = (
        "text"
    )
