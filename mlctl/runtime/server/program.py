"""The `server` program: serve one model until told to stop. Started by `deployments`; it has a result only when it ends."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.runtime.server.handover import Handover, bind_failed, obtain
from mlctl.types import job as contract
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.server import READY_FILE, ServerJob, server_url


def main(params: dict[str, object], report: Report) -> JobResult:
    """Take the port (or find whom to take it over from), load the model, make a first prediction, and only then serve."""
    folder = report.folder.absolute()
    atomic.write_json(folder / contract.PROCESS_FILE, {"pid": os.getpid(), "started": time.time()})
    job = ServerJob.model_validate(params)
    handover = Handover(folder)
    listener = obtain(folder, job.host, job.port)  # first: a taken port is told at once and not after all the imports

    from mlctl.runtime.server.serve import run  # uvicorn and FastAPI: 0.4 s

    began = time.monotonic()
    service = _Service(job, folder)
    ready_file = {
        "deployment": job.deployment, "release": folder.name, "model": job.model.name, "version": job.model.version,
        "url": server_url(job.host, job.port),
    }  # fmt: skip

    def ready() -> None:
        handover.open(listener)
        atomic.write_json(folder / READY_FILE, ready_file)
        say(f"ready on {ready_file['url']} after {time.monotonic() - began:.1f} s")

    def drain() -> None:
        say("draining")
        service.server.draining = True
        handover.close()

    try:
        run(service.server.asgi(), listener, service.work, ready, drain, job.timeout_seconds)
    except OSError as error:
        raise bind_failed(job.host, job.port, error) from None
    finally:
        service.close()
    say("all requests are answered and the log is written")
    return JobResult(JobStatus.DONE)


class _Service:
    """The parts of the server, put together."""

    def __init__(self, job: ServerJob, folder: Path) -> None:
        from mlctl.runtime.server.app import ROLE, ModelServer
        from mlctl.runtime.server.batcher import Batcher
        from mlctl.runtime.server.log import PredictionWriter
        from mlctl.runtime.server.metrics import Metrics
        from mlctl.runtime.server.predictor import Lookup, Predictor

        metrics = Metrics(job.deployment, job.model.name, job.model.version, ROLE)
        from mlctl.runtime.features.transform import load as load_transformations
        from mlctl.runtime.server.model import load  # torch and MLflow: 3 s

        model = load(Path(job.model.folder), job.serving.columns)
        lookup: Lookup | None = None
        if job.serving.store is not None and job.serving.views:
            from mlctl.runtime.features.online import OnlineFeatures  # Feast: 4-6 s more, only with feature views

            lookup = OnlineFeatures(job.serving.store, job.serving.views)
        transformations = load_transformations(job.serving.transformations)
        for item in transformations:
            item.try_out()  # what is wrong with it shows before a client sees it
        self._batcher = Batcher(model.predict, job.batching.max_size, job.batching.max_wait_seconds, metrics.batch)
        self._predictor = Predictor(job.serving, self._batcher, model, lookup, transformations)
        self._log = None if job.log is None else PredictionWriter(Path(job.log.folder), metrics.dropped)
        self.server = ModelServer(job, folder.name, self._predictor, metrics, self._log)

    def work(self) -> asyncio.Future[None]:
        """Run the batcher in the event loop."""
        return asyncio.ensure_future(self._batcher.run())

    def close(self) -> None:
        """Let the threads end, and write the rest of the prediction log."""
        self._predictor.close()
        if self._log is not None:
            self._log.close()


def say(text: str) -> None:
    """A line in the server's log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
