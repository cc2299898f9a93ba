"""What runs and deployments did cost, as lines of JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any

from mlctl.estimate.actuals import Run, Service, known


def lines(runs: Sequence[Run], services: Sequence[Service], since: datetime) -> Iterator[dict[str, Any]]:
    """A line for each run and each deployment, and one for all. What is not known is null."""
    for run in runs:
        yield {"type": "cost_run", **_run_json(run)}
    for service in services:
        yield {"type": "cost_deployment", **_service_json(service)}
    (made, without), (kept, unpriced) = known([item.usd for item in runs]), known([item.usd for item in services])
    yield {
        "type": "cost_actual",
        "since": since.isoformat(timespec="seconds"),
        "runs": len(runs),
        "runs_usd": _rounded(made),
        "runs_unknown": without,
        "deployments": len(services),
        "deployments_usd": _rounded(kept),
        "deployments_unknown": unpriced,
    }


def _run_json(item: Run) -> dict[str, Any]:
    foretold = item.foretold
    return {
        "address": item.address,
        "key": item.key,
        "at": item.at,
        "device": None if foretold is None else foretold.device,
        "devices": None if foretold is None else foretold.devices,
        "tier": None if foretold is None else foretold.tier,
        "seconds": _rounded(item.seconds),
        "usd": _rounded(item.usd),
        "foretold_seconds": None if foretold is None or foretold.seconds is None else foretold.seconds.to_json(),
        "foretold_usd": None if foretold is None or foretold.usd is None else foretold.usd.to_json(),
        "ratio": _rounded(item.ratio),
        "basis": item.basis,
        "why": item.why,
    }


def _service_json(item: Service) -> dict[str, Any]:
    counts, tokens, api = item.counts, None if item.counts is None else item.counts.total, item.api
    return {
        "address": item.address,
        "since": item.since,
        "hours": _rounded(item.hours),
        "up": item.up,
        "usd_per_hour": _rounded(item.hourly),
        "usd": _rounded(item.usd),
        "requests": None if counts is None else counts.requests,
        "answered": None if counts is None else counts.answered,
        "prompt_tokens": None if tokens is None else tokens.prompt,
        "completion_tokens": None if tokens is None else tokens.answer,
        "usd_per_thousand_requests": _rounded(item.per_thousand),
        "usd_per_million_tokens": _rounded(item.per_million),
        "api": None if api is None else {
            "provider": api.provider, "model": api.model, "source": api.source, "usd": _rounded(api.usd),
            "usd_per_million_tokens": _rounded(api.per_million), "why": api.why,
        },
        "notes": list(item.notes),
    }  # fmt: skip


def _rounded(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.6g}")
