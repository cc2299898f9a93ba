"""A request as the prediction log keeps it: a line for each prediction, or one line for a request that got none."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from .call import Call
from .settings import Settings

_NOTHING: dict[str, Any] = {"key": None, "features": None, "score": None, "prediction": None}


def log_rows(call: Call, settings: Settings, seconds: float, language: bool) -> Iterator[dict[str, Any]]:
    """The lines of a request that took so many seconds."""
    common: dict[str, Any] = {
        "ts": datetime.now(UTC).isoformat(timespec="microseconds"), "request_id": call.request_id, "deployment": settings.deployment,
        "model": settings.model, "version": call.version or settings.version, "role": call.role, "variant": call.variant,
    }  # fmt: skip
    if call.adapter is not None:
        common["adapter"] = call.adapter
    if call.bucket is not None:
        common["bucket"] = call.bucket
    if call.propensity is not None:
        common["propensity"] = call.propensity
    if call.cached == "hit":
        common["cached"] = True
    after = {"latency_seconds": seconds, "code": call.code}
    if language:
        yield {**common, **(call.answer or {}), **after}
        return
    for row in call.rows or (_NOTHING,):
        yield {**common, **row, **after}
