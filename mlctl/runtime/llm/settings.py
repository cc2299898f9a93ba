"""What the middleware is told of a server of a language model, be it in the engine or in front of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from mlctl.runtime.middleware import Cache, Limits, Settings, Traces
from mlctl.types.jobs.llm import LlmJob
from mlctl.types.value import digest


def middleware_settings(job: LlmJob, folder: Path, root: Path) -> Settings:
    """Its settings, with absolute paths: an engine may work elsewhere."""
    admission = job.admission
    limit, cache, traces = admission.concurrency, admission.cache, job.observe.traces
    return Settings(
        deployment=job.deployment,
        model=job.model.name,
        version=job.model.version,
        behind_gateway=job.behind_gateway,
        folder=str(folder),
        log_folder=None if job.log is None else str(root / job.log.folder),
        log_days=None if job.log is None else job.log.keep_days,
        cache=None if cache is None else Cache(cache.ttl_seconds, cache.max_entries, cache.url, _answers_of(job)),
        limits=None if limit is None else Limits(limit.max_running, limit.max_waiting, limit.retry_after_seconds),
        max_body_bytes=admission.max_body_bytes,
        body_seconds=admission.read_seconds,
        timeout_seconds=job.timeout_seconds,
        token=admission.token,
        capture=job.observe.capture,
        unit_header=job.observe.unit_header,
        names=answers_to(job),
        traces=None if traces is None else Traces(traces.endpoint, traces.sample, dict(traces.headers)),
    )


def answers_to(job: LlmJob) -> tuple[str, ...]:
    """What requests may call the model; empty for a program of the project's own choice, which says that itself."""
    return () if job.engine.type == "command" else tuple(dict.fromkeys((job.model.name, job.deployment)))


def _answers_of(job: LlmJob) -> str:
    """A digest of all that makes an answer."""
    return digest(job.model_dump(mode="json", include={"model", "engine", "adapter"}))[:16]


def as_text(settings: Settings) -> str:
    """As the middleware reads it from its environment."""
    return json.dumps(asdict(settings))
