"""One worker of Ray Train: it starts one rank as a process of its own, and hands on to it what Ray knows and asks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlctl.runtime.trainer.executors.failures import in_words
from mlctl.runtime.trainer.executors.hosts import free_port
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE
from mlctl.runtime.trainer.executors.local import WORKER
from mlctl.runtime.trainer.executors.ranks import LOGS_FOLDER
from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER

STOP_FILE = "stop"  # in the job's folder: all ranks are to save and leave
_POLL_SECONDS = 0.1


def work(config: dict[str, Any]) -> None:
    """Run this worker's rank to its end. Raises RuntimeError for one that was killed, so that Ray starts all of them anew."""
    import ray
    from ray import train
    from ray.train.collective import broadcast_from_rank_zero

    context = train.get_context()
    rank, folder = context.get_world_rank(), Path(config["folder"])
    meeting = None
    if rank == 0:
        shutil.rmtree(folder / ERRORS_FOLDER, ignore_errors=True)
        (folder / ENDED_FILE).unlink(missing_ok=True)
        host = "127.0.0.1" if config["alone"] else ray.util.get_node_ip_address()
        meeting = {"host": host, "port": free_port(), "attempt": time.time_ns()}
    meeting = broadcast_from_rank_zero(meeting)
    told = {
        **config["environment"],
        "RANK": rank,
        "WORLD_SIZE": context.get_world_size(),
        "LOCAL_RANK": context.get_local_rank(),
        "LOCAL_WORLD_SIZE": context.get_local_world_size(),
        "MASTER_ADDR": meeting["host"],
        "MASTER_PORT": meeting["port"],
        PARENT_VARIABLE: os.getpid(),
    }
    place = folder / LOGS_FOLDER / f"attempt-{meeting['attempt']}" / str(rank)
    place.mkdir(parents=True, exist_ok=True)
    with open(place / "stdout.log", "ab") as out, open(place / "stderr.log", "ab") as err:
        process = subprocess.Popen(
            [sys.executable, "-m", WORKER, str(folder)],
            cwd=config["project"],
            env={**os.environ, **{name: str(value) for name, value in told.items()}},
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=err,
        )
    code = _watch(process, folder)
    if code < 0:
        raise RuntimeError(f"rank {rank} {in_words(code)}")


def _watch(process: subprocess.Popen[bytes], folder: Path) -> int:
    """Wait for the end of a rank, and pass a request to stop on to it."""
    asked = False
    try:
        while process.poll() is None:
            if not asked and (folder / STOP_FILE).exists():
                asked = True
                process.send_signal(signal.SIGTERM)
            time.sleep(_POLL_SECONDS)
    finally:
        if process.poll() is None:  # Ray ends this worker
            process.kill()
    return process.returncode
