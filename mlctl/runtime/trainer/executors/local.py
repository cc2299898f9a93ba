"""The ranks of a training as processes of this machine: one alone, or several under torchrun."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from mlctl.runtime.trainer.executors.environment import rank_environment, rank_threads
from mlctl.runtime.trainer.executors.failures import End, end_of
from mlctl.runtime.trainer.executors.lifeline import PARENT_VARIABLE, end_descendants, take_in_orphans
from mlctl.runtime.trainer.executors.ranks import LOGS_FOLDER
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import LocalExecutor
from mlctl.types.jobs.train import TrainJob

STOP_SECONDS = 35.0  # torchrun gives its ranks 30 s
AGENT = "mlctl.runtime.trainer.executors.agent"
WORKER = "mlctl.runtime.trainer.worker"


def executor(job: TrainJob) -> Local:
    """The processes of this machine."""
    assert isinstance(job.executor, LocalExecutor)  # noqa: S101
    return Local(job, job.executor.restarts)


def torchrun_arguments(folder: Path, processes: int, name: str = "") -> list[str]:
    """What torchrun is told on every machine, but for how it finds the others. A rank that failed is the program's business."""
    return [
        *("--nproc-per-node", str(processes), "--max-restarts", "0", "--monitor-interval", "0.1"),
        *("--log-dir", str(folder / LOGS_FOLDER / name), "--redirects", "3", "--tee", "3"),
        *("-m", WORKER, str(folder)),
    ]


def shared(processes: int, nodes: int) -> int:
    """The processes of each machine. Raises MlctlError when they cannot be shared evenly."""
    if processes % nodes:
        raise MlctlError.of(
            "executor.uneven-nodes",
            f"{processes} processes cannot be shared by {nodes} machines evenly",
            "each machine runs the same number of them",
            f"give `strategy` a multiple of {nodes} processes, or change `executor`",
        )
    return processes // nodes


class Local:
    """Starts ranks here. They end with this program, so there are none to be found again."""

    stop_seconds = STOP_SECONDS
    outlives = False
    needs_plan = False

    def __init__(self, job: TrainJob, restarts: int) -> None:
        self.restarts = restarts
        self._processes = job.recipe.layout.processes
        self._base = getattr(job.recipe.model, "base", None)
        take_in_orphans()

    def start(self, folder: Path) -> LocalRanks:
        """A process, or torchrun, in a session of its own: a signal to ours must reach torchrun once, which takes a second one
        for impatience."""
        environment = {**os.environ, **rank_environment(self._base)}
        environment[PARENT_VARIABLE] = str(os.getpid())
        command = [sys.executable, "-m", WORKER, str(folder)]
        if self._processes == 1:
            environment |= rank_threads(1)
        else:
            command = [sys.executable, "-m", AGENT, str(folder), "0", "--standalone"]
            command += torchrun_arguments(folder, self._processes)
        if sys.platform == "linux":  # all ranks are on this machine, whose name may not resolve
            environment.setdefault("GLOO_SOCKET_IFNAME", "lo")
        process = subprocess.Popen(command, env=environment, stdin=subprocess.DEVNULL, start_new_session=True)
        return LocalRanks(folder, process)

    def rejoin(self, folder: Path) -> None:
        """There is nothing to find."""


class LocalRanks:
    """A rank, or torchrun with several."""

    word = ""

    def __init__(self, folder: Path, process: subprocess.Popen[bytes]) -> None:
        self._folder, self.process = folder, process

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self.process.poll() is None

    def ask_to_stop(self) -> None:
        """SIGTERM, which torchrun passes on."""
        if self.running:
            self.process.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL; the ranks of a torchrun, and what the project's code started, go with it."""
        if self.running:
            self.process.kill()
        self.process.wait()
        end_descendants()

    def end(self) -> End:
        """By the exit codes of the ranks, else by that of the process."""
        return end_of(self._folder, {0: self.process.wait()})
