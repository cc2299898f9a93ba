"""One of several processes that serve a model: `python -m mlctl.runtime.server.worker FOLDER NUMBER LISTENER READY LIFE`."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
import traceback
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime import process, secrets
from mlctl.runtime.server.workers import RESULT
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.server import ServerJob

_ORPHANED = 3


def main(folder: Path, number: int, listener: int, ready: int, life: int) -> int:
    """Serve until told to stop. Why it could not is written for the parent."""
    threading.Thread(target=_watch, args=(life,), name="life", daemon=True).start()
    try:
        params = secrets.known().opened(json.loads((folder / contract.JOB_FILE).read_bytes())["params"])
        from mlctl.runtime.server.service import serve

        def say_ready() -> None:
            os.write(ready, b"R")
            os.close(ready)

        job = ServerJob.model_validate(params)
        serve(job, folder, socket.socket(fileno=listener), say_ready, lambda: None, shared=True)
    except MlctlError as error:
        traceback.print_exc()
        failed = JobResult(JobStatus.FAILED, diagnostics=tuple(error.diagnostics))
        atomic.write_json(folder / RESULT.format(number), secrets.known().masked(failed.to_json()))
        return 1
    return 0


def _watch(life: int) -> None:
    """End with the parent. Nothing is lost that a kill would not cost as well: the port must be free for the next server."""
    os.read(life, 1)
    os._exit(_ORPHANED)


if __name__ == "__main__":
    process.begin("server")
    process.leave(main(Path(sys.argv[1]), *(int(text) for text in sys.argv[2:])))
