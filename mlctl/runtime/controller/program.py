"""The `controller` program: own the gateway, the releases and the rollout of one deployment, until told to stop.

When it ends, or is killed, requests go on being answered: the gateway and the servers are processes of their own. Whoever
starts it again finds them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime.report import Report
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.rollout import ControllerJob
from mlctl.types.jobs.server import READY_FILE

_TURN_SECONDS, _BUSY_TURN_SECONDS = 0.25, 0.05
_RETRY_SECONDS = 1.0


def main(params: dict[str, object], report: Report) -> JobResult:
    """Turn until SIGTERM, or until everything was ended."""
    folder = report.folder.absolute()
    for name in (READY_FILE, contract.RESULT_FILE):  # of an earlier one, when nobody of ours has started this one
        (folder / name).unlink(missing_ok=True)
    atomic.write_json(folder / contract.PROCESS_FILE, {"pid": os.getpid(), "started": time.time()})
    job = ControllerJob.model_validate(params)

    from mlctl.runtime.controller.controller import Controller
    from mlctl.runtime.controller.logs import Logs

    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    controller = Controller(folder, Path.cwd(), (Path.cwd() / job.home) if job.home else None)
    atomic.write_json(folder / READY_FILE, {"deployment": job.deployment})
    _say(f"controller of {job.deployment}, pid {os.getpid()}")
    failing, logs = "", Logs(folder)
    while not stop.is_set():
        logs.look()
        try:
            ending = controller.turn()
        except (OSError, MlctlError) as error:  # a full disk, say: nothing was done by a state that is not kept
            if str(error) != failing:
                _say(f"it cannot go on for now: {error}")
            failing = str(error)
            stop.wait(_RETRY_SECONDS)
            continue
        if failing:
            _say("it goes on")
        failing = ""
        if ending is not None:
            controller.end(ending)
            _say("everything has ended")
            return JobResult(JobStatus.DONE)
        stop.wait(_BUSY_TURN_SECONDS if controller.busy else _TURN_SECONDS)
    controller.close()
    _say("leaving; the gateway and the servers go on")
    return JobResult(JobStatus.DONE)


def _say(text: str) -> None:
    with suppress(OSError):  # a full disk costs the line, not the controller
        print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
