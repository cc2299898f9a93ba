"""A request as the prediction log keeps it: a line for each prediction, or one line for a request that got none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from .call import Call
from .content import Content
from .settings import Settings

SCHEMA_VERSION = 2  # of a line; 1 had no trace, no unit and no version of itself
_NOTHING: dict[str, Any] = {"key": None, "features": None, "score": None, "prediction": None}


def log_rows(call: Call, settings: Settings, seconds: float) -> Iterator[dict[str, Any]]:
    """The lines of a request for predictions of rows that took so many seconds."""
    common, after = _common(call, settings), _after(call, seconds)
    if settings.feature_ref:
        common["feature_ref"] = settings.feature_ref
    for row in call.rows or (_NOTHING,):
        yield {**common, **row, **after}


def answer_row(call: Call, settings: Settings, seconds: float, content: Content, ts: str) -> dict[str, Any]:
    """The line of a request to a language model. It reads the prompt, which takes a while: not in the time of a request."""
    asked = content.asked()
    model = asked.get("model")
    return {
        **_common(call, settings),
        "ts": ts,
        "request_model": model if isinstance(model, str) else None,
        "template": call.template,
        **(call.answer or {}),
        **content.row(),
        **_after(call, seconds),
    }


def now() -> str:
    """This moment, as lines have it."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def _common(call: Call, settings: Settings) -> dict[str, Any]:
    common: dict[str, Any] = {
        "ts": now(), "request_id": call.request_id, "trace_id": call.trace.trace_id, "schema_version": SCHEMA_VERSION,
        "deployment": settings.deployment, "model": settings.model, "version": call.version or settings.version, "role": call.role,
        "variant": call.variant,
    }  # fmt: skip
    optional = {"adapter": call.adapter, "unit": call.unit, "bucket": call.bucket, "propensity": call.propensity}
    common |= {name: value for name, value in optional.items() if value is not None}
    if call.cached == "hit":
        common["cached"] = True
    if settings.traces is not None and call.trace.sampled:
        common["sampled"] = True  # its spans are sent
    return common


def _after(call: Call, seconds: float) -> dict[str, Any]:
    return {"latency_seconds": seconds, "code": call.code}
