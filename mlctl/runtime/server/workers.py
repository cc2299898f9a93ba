"""Several processes that serve one model on one socket: a parent that loads nothing, and a worker in place of each that dies.

Each worker is a process of its own from the beginning. Forking a process that has loaded torch would save memory, and copies
threads' locks in whatever state they are; what came of that was found by others, by chance, in production.

A worker dies with its parent: it holds the read end of a pipe that nobody writes to, and whose end means that.
"""

from __future__ import annotations

import os
import select
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime.server.handover import BACKLOG
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult
from mlctl.types.jobs.server import ServerJob

RESULT = "worker-{}.json"  # why a worker gave up, in the release's folder
_FIRST_WAIT, _LONGEST_WAIT = 0.2, 10.0  # seconds before a worker that died is started again, doubled each time
_STEADY_SECONDS = 60.0  # a worker that lived as long as this did not die of its start
_POLL_SECONDS = 0.05
_LATE_SECONDS = 5.0


@dataclass
class _Worker:
    """One place, and the process that fills it now."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    ready: int = -1  # the pipe by which it says that it is
    began: float = 0.0
    wait: float = _FIRST_WAIT
    again: float = 0.0  # when the next is started
    was_ready: bool = False


def supervise(
    job: ServerJob,
    folder: Path,
    listener: socket.socket,
    on_ready: Callable[[], None],
    on_drain: Callable[[], None],
) -> None:
    """Keep the workers running until SIGTERM or SIGINT, and return when all have finished.

    Raises MlctlError when one of them cannot be started in the first place.
    """
    stopping: list[int] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda found, frame: stopping.append(found))
    listener.listen(BACKLOG)
    life, alive = os.pipe()
    workers = [_Worker(number) for number in range(job.workers)]
    announced = False
    try:
        while not stopping:
            for item in workers:
                _tend(item, folder, listener, life, announced)
            if not announced and all(item.was_ready for item in workers):
                announced = True
                on_ready()
            select.select([item.ready for item in workers if item.ready >= 0], [], [], _POLL_SECONDS)
        on_drain()
        listener.close()
        _end(workers, job.timeout_seconds + _LATE_SECONDS)
    finally:
        os.close(alive)  # whoever is left ends now
        os.close(life)
        _end(workers, 0.0)


def _tend(item: _Worker, folder: Path, listener: socket.socket, life: int, announced: bool) -> None:
    """Start a worker whose place is empty, and notice when one is ready or has died."""
    now = time.monotonic()
    if item.process is None:
        if now >= item.again:
            _start(item, folder, listener, life)
        return
    if item.ready >= 0 and select.select([item.ready], [], [], 0)[0]:
        if os.read(item.ready, 1):
            item.was_ready = True
        os.close(item.ready)  # the end without a word is that of its process
        item.ready = -1
    code = item.process.poll()
    if code is None:
        return
    if not announced:
        raise _failed(item, folder, code)
    if now - item.began > _STEADY_SECONDS:
        item.wait = _FIRST_WAIT
    _say(f"worker {item.number} (pid {item.process.pid}) ended with {code}; the next is started in {item.wait:g} s")
    item.process, item.again = None, now + item.wait
    item.wait = min(_LONGEST_WAIT, item.wait * 2)


def _start(item: _Worker, folder: Path, listener: socket.socket, life: int) -> None:
    told, tell = os.pipe()
    (folder / RESULT.format(item.number)).unlink(missing_ok=True)
    handles = (listener.fileno(), tell, life)
    item.process = subprocess.Popen(
        [sys.executable, "-m", "mlctl.runtime.server.worker", str(folder), str(item.number), *map(str, handles)],
        stdin=subprocess.DEVNULL,
        pass_fds=handles,
    )
    os.close(tell)
    item.ready, item.began = told, time.monotonic()


def _end(workers: list[_Worker], seconds: float) -> None:
    """Have all finish what is under way, and end those that are too slow."""
    deadline = time.monotonic() + seconds
    left = [item.process for item in workers if item.process is not None and item.process.poll() is None]
    for process in left:
        process.send_signal(signal.SIGTERM)
    for process in left:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _failed(item: _Worker, folder: Path, code: int) -> MlctlError:
    """Why a worker could not begin: what it says itself, or how it ended."""
    stored = atomic.read_object(folder / RESULT.format(item.number))
    if stored is not None and (found := JobResult.from_json(stored).diagnostics):
        return MlctlError(found)
    return MlctlError.of(
        "deploy.worker-died",
        f"worker {item.number} ended with {code} before it could serve",
        "each worker loads the model: memory may not be enough for all of them",
        "set fewer `serve.workers`, or see the log of the server",
    )


def _say(text: str) -> None:
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
