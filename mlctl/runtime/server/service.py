"""One process that serves: the parts of the server, put together around a listening socket."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Callable
from pathlib import Path

from prometheus_client import CollectorRegistry

from mlctl.runtime.middleware import Cache, Limits, Middleware, Settings, Traces
from mlctl.runtime.server.app import ModelServer
from mlctl.runtime.server.batcher import Batcher
from mlctl.runtime.server.predictor import Lookup, Predictor
from mlctl.runtime.server.serve import run
from mlctl.types.jobs.server import ServerJob
from mlctl.types.value import digest

# How long a thread may go on when another wants to: at Python's own 5 ms, the model's thread waits that long for its turn
# after each batch, while the event loop reads requests.
_SWITCH_SECONDS = 0.0005


def serve(
    job: ServerJob,
    folder: Path,
    listener: socket.socket,
    on_ready: Callable[[], None],
    on_drain: Callable[[], None],
    *,
    shared: bool = False,
) -> None:
    """Load the model, make a first prediction, serve until told to stop, and finish. Raises MlctlError, and OSError for the socket."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    service = _Service(job, folder)

    def drain() -> None:
        service.server.draining = service.middleware.draining = True
        on_drain()

    try:
        run(
            service.middleware,
            listener,
            service.work,
            on_ready,
            drain,
            job.timeout_seconds,
            read_seconds=job.admission.read_seconds,
            shared=shared,
        )
    finally:
        service.close()


def settings_of(job: ServerJob, folder: Path) -> Settings:
    """What the middleware is told."""
    admission = job.admission
    limit, cache, traces = admission.concurrency, admission.cache, job.observe.traces
    return Settings(
        deployment=job.deployment,
        model=job.model.name,
        version=job.model.version,
        behind_gateway=job.behind_gateway,
        folder=str(folder),
        log_folder=None if job.log is None else job.log.folder,
        log_days=None if job.log is None else job.log.keep_days,
        cache=None if cache is None else Cache(cache.ttl_seconds, cache.max_entries, cache.url, _answers_of(job)),
        limits=None if limit is None else Limits(limit.max_running, limit.max_waiting, limit.retry_after_seconds),
        max_body_bytes=admission.max_body_bytes,
        body_seconds=admission.read_seconds,
        timeout_seconds=job.timeout_seconds,
        token=admission.token,
        paths=("/predict",),
        unit_header=job.observe.unit_header,
        feature_ref=feature_ref(job),
        traces=None if traces is None else Traces(traces.endpoint, traces.sample, dict(traces.headers)),
    )


def feature_ref(job: ServerJob) -> dict[str, str]:
    """Which definition of each feature view a row was made by."""
    views = {view.view: digest(view.model_dump(mode="json"))[:12] for view in job.serving.views}
    return views | {item.view: item.code_digest[:12] for item in job.serving.transformations}


def _answers_of(job: ServerJob) -> str:
    """A digest of all that makes an answer: with another transformation or default the same version gives another."""
    return digest(job.model_dump(mode="json", include={"model", "serving", "defaults"}))[:16]


class _Service:
    """The parts of the server, put together."""

    def __init__(self, job: ServerJob, folder: Path) -> None:
        from mlctl.runtime.features.transform import load as load_transformations
        from mlctl.runtime.server.model import load  # torch and MLflow: 3 s

        model = load(Path(job.model.folder), job.serving.columns)
        print(f"the model is called {model.way}", flush=True)
        lookup: Lookup | None = None
        if job.serving.store is not None and job.serving.views:
            from mlctl.runtime.features.online import OnlineFeatures

            lookup = OnlineFeatures(job.serving.store, job.serving.views)
        transformations = load_transformations(job.serving.transformations)
        for item in transformations:
            item.try_out()  # what is wrong with it shows before a client sees it
        self._batcher = Batcher(model.predict, job.batching.max_size, job.batching.max_wait_seconds, self._batch)
        self._predictor = Predictor(
            job.serving, self._batcher, model, lookup, transformations, job.defaults, self._defaulted
        )
        registry = CollectorRegistry()
        self.server = ModelServer(job, folder.name, self._predictor, registry, model.kinds)
        self.middleware = Middleware(self.server, settings_of(job, folder), registry)

    def work(self) -> asyncio.Future[None]:
        """Run the batcher in the event loop."""
        return asyncio.ensure_future(self._batcher.run())

    def close(self) -> None:
        """Let the threads end, and write the rest of the prediction log and the counts."""
        self._predictor.close()
        self.middleware.close()

    def _batch(self, rows: int) -> None:
        self.middleware.tally.batches.add(rows)

    def _defaulted(self, rows: int) -> None:
        self.middleware.tally.defaulted += rows
