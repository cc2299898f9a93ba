"""The ranks of a training as workers of Ray Train, watched by a driver that outlives the program that started it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.runtime.trainer.executors.environment import THREADS_VARIABLE, rank_environment
from mlctl.runtime.trainer.executors.failures import End, end_of
from mlctl.runtime.trainer.executors.local import STOP_SECONDS
from mlctl.runtime.trainer.executors.ray_driver import ENDED_FILE, LOCK_FILE, ORDER_FILE, PROCESS_FILE
from mlctl.runtime.trainer.executors.ray_worker import STOP_FILE
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import RayExecutor
from mlctl.types.jobs.train import TrainJob

_DRIVER = "mlctl.runtime.trainer.executors.ray_driver"


def executor(job: TrainJob) -> Ray:
    """The cluster that a job names."""
    assert isinstance(job.executor, RayExecutor)  # noqa: S101
    return Ray(job, job.executor)


class Ray:
    """Starts a driver, or finds the one that is at work. Ray starts lost workers anew by itself."""

    stop_seconds = STOP_SECONDS
    outlives = True
    needs_plan = False

    def __init__(self, job: TrainJob, asked: RayExecutor) -> None:
        self.restarts = asked.max_failures  # of the driver
        self._asked = asked
        self._workers = job.recipe.layout.processes
        self._base = getattr(job.recipe.model, "base", None)

    def start(self, folder: Path) -> RayDriver:
        """Start a driver, which holds the job's second lock from its first moment on. Raises MlctlError."""
        if importlib.util.find_spec("ray") is None:
            raise MlctlError.of(
                "extra.missing",
                "the executor `ray` needs the package `ray`, which is not installed",
                "mlctl's core is light; each tool comes with an extra",
                "pip install 'mlctl[ray]'",
            )
        place = folder.resolve()
        alone = self._asked.address is None
        environment = rank_environment(self._base)
        environment[THREADS_VARIABLE] = os.environ.get(THREADS_VARIABLE) or str(
            max(1, int(self._asked.cpus_per_worker))
        )
        if alone and sys.platform == "linux":
            environment["GLOO_SOCKET_IFNAME"] = "lo"
        order = {
            "address": self._asked.address,
            "workers": self._workers,
            "cpus": self._asked.cpus_per_worker,
            "gpus": self._asked.gpus_per_worker,
            "max_failures": self._asked.max_failures,
            "alone": alone,
            "project": os.getcwd(),
            "environment": environment,
        }
        for name in (STOP_FILE, ENDED_FILE, PROCESS_FILE):
            (place / name).unlink(missing_ok=True)
        shutil.rmtree(place / "ray", ignore_errors=True)  # Ray's own notes of an earlier driver
        atomic.write_json(place / ORDER_FILE, order)
        lock = FileLock(place / LOCK_FILE)
        lock.acquire(blocking=True)
        try:
            with open(place / contract.LOG_FILE, "ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-m", _DRIVER, str(place)],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    start_new_session=True,
                    pass_fds=(lock.handle,),
                )
        finally:
            lock.release()
        return RayDriver(place, process)

    def rejoin(self, folder: Path) -> RayDriver | None:
        """The driver that holds the lock."""
        place = folder.resolve()
        return RayDriver(place, None) if is_locked(place / LOCK_FILE) else None


class RayDriver:
    """One driver, with all workers it has."""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes] | None) -> None:
        self._folder, self._process = folder, process

    @property
    def word(self) -> str:
        """Nothing: the ranks say how far they are."""
        return ""

    @property
    def running(self) -> bool:
        """Whether the driver lives."""
        if self._process is not None:
            return self._process.poll() is None
        return is_locked(self._folder / LOCK_FILE)

    def ask_to_stop(self) -> None:
        """A file that every worker looks for."""
        atomic.write_json(self._folder / STOP_FILE, {"time": time.time()})

    def kill(self) -> None:
        """End the driver; Ray ends the workers that belong to it."""
        while self.running:
            pid = (_read(self._folder / PROCESS_FILE) or {}).get("pid")
            pid = self._process.pid if self._process is not None else pid
            if pid is not None:
                try:
                    os.killpg(pid, signal.SIGKILL)
                except ProcessLookupError:
                    pass  # it ended meanwhile
            time.sleep(0.05)

    def end(self) -> End:
        """What Ray says, or what the ranks say where it says nothing."""
        said = _read(self._folder / ENDED_FILE)
        if said is None:
            return End(True, "the driver of Ray was killed")
        if said["why"] is not None:
            return End(True, f"Ray gave up: {said['why']}", final=True)
        return end_of(self._folder, {0: 0}, several=True)


def _read(path: Path) -> dict[str, Any] | None:
    try:
        stored: dict[str, Any] = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return stored
