"""The `server` program: serve one model until told to stop. Started by `deployments`; it has a result only when it ends."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import logs
from mlctl.runtime.explain.beside import Beside
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
    if job.observe.json_logs:
        logs.as_json("server")
    handover = Handover(folder)
    listener = obtain(folder, job.host, job.port)  # first: a taken port is told at once and not after all the imports
    port = listener.getsockname()[1]
    began = time.monotonic()
    ready_file: dict[str, Any] = {
        "deployment": job.deployment, "release": folder.name, "model": job.model.name, "version": job.model.version,
        "url": server_url(job.host, port), "host": job.host, "port": port,
    }  # fmt: skip

    beside = None if job.observe.explain is None or job.log is None else Beside(folder, Path(job.log.folder))

    def ready() -> None:
        if beside is not None:
            beside.start()
        handover.open(listener)
        atomic.write_json(folder / READY_FILE, ready_file)
        say(f"ready on {ready_file['url']} after {time.monotonic() - began:.1f} s")

    def drain() -> None:
        say("draining")
        handover.close()

    try:
        if job.workers == 1:
            from mlctl.runtime.server.service import serve  # uvicorn: 0.4 s

            serve(job, folder, listener, ready, drain)
        else:
            from mlctl.runtime.server.workers import supervise

            supervise(job, folder, listener, ready, drain)
    except OSError as error:
        raise bind_failed(job.host, port, error) from None
    finally:
        if beside is not None:
            beside.close()
    say("all requests are answered and the log is written")
    return JobResult(JobStatus.DONE)


def say(text: str) -> None:
    """A line in the server's log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
