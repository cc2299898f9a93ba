"""The ranks of a training as a batch job of Slurm, which outlives the program that submitted it.

Slurm is asked by its own commands. The job's name is made of the job's folder, so that one whose number was never noted, because
this program was killed right then, is found again.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path

from mlctl.files import atomic
from mlctl.runtime.trainer.executors.environment import rank_environment
from mlctl.runtime.trainer.executors.failures import End, end_of
from mlctl.runtime.trainer.executors.local import STOP_SECONDS, shared, torchrun_arguments
from mlctl.runtime.trainer.executors.slurm_script import NOTICE_SECONDS, SHORTEST_SECONDS, script
from mlctl.runtime.trainer.plan import ENDED_FILE
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import SlurmExecutor
from mlctl.types.jobs.train import TrainJob
from mlctl.types.value import digest_bytes

_NOTE_FILE = "slurm.json"  # {"id": the number of the job}
_SCRIPT_FILE = "slurm.sh"
_LOOK_SECONDS, _LAST_LOOK_SECONDS = 3.0, 0.5  # between two questions to Slurm; once rank 0 has left its last word
_GONE_SECONDS = 60.0
_OVER = {
    "COMPLETED",
    "FAILED",
    "CANCELLED",
    "TIMEOUT",
    "NODE_FAIL",
    "PREEMPTED",
    "OUT_OF_MEMORY",
    "BOOT_FAIL",
    "DEADLINE",
}
_DIED = {"TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY", "BOOT_FAIL"}


def executor(job: TrainJob) -> Slurm:
    """The cluster that this machine submits to."""
    assert isinstance(job.executor, SlurmExecutor)  # noqa: S101
    return Slurm(job, job.executor)


class Slurm:
    """Submits a job, or finds the one that was submitted."""

    stop_seconds = STOP_SECONDS
    outlives = True
    needs_plan = False

    def __init__(self, job: TrainJob, asked: SlurmExecutor) -> None:
        self.restarts = asked.restarts
        self._asked = asked
        self._per_node = shared(job.recipe.layout.processes, asked.nodes)
        self._base = getattr(job.recipe.model, "base", None)
        self._limit = None if job.limit is None else float(job.limit.seconds)
        self._last: SlurmJob | None = None
        self._before = 0.0  # seconds that jobs before the last one ran

    def start(self, folder: Path) -> SlurmJob:
        """Submit the job. Raises MlctlError when Slurm does not take it."""
        place = folder.resolve()
        text = script(
            self._asked,
            name=_name(place),
            project=Path.cwd(),
            folder=place,
            environment=rank_environment(self._base),
            python=sys.executable,
            torchrun=torchrun_arguments(place, self._per_node),
            seconds=self._left(),
        )
        atomic.write_bytes(place / _SCRIPT_FILE, text.encode())
        (place / _NOTE_FILE).unlink(missing_ok=True)
        done = _ask("sbatch", "--parsable", str(place / _SCRIPT_FILE))
        if done.returncode != 0:
            raise MlctlError.of(
                "executor.slurm-refused",
                "Slurm did not take the job",
                _said(done),
                f"see what `executor` asks for; the batch script is {place / _SCRIPT_FILE}",
            )
        number = done.stdout.strip().partition(";")[0]  # `id;cluster` where there are several
        atomic.write_json(place / _NOTE_FILE, {"id": number})
        self._last = SlurmJob(place, number, self._asked.nodes, self._limit, self._before)
        return self._last

    def _left(self) -> float | None:
        """What the budget leaves for another job."""
        self._before += 0.0 if self._last is None else self._last.ran
        return None if self._limit is None else self._limit - self._before

    def rejoin(self, folder: Path) -> SlurmJob | None:
        """The job that was noted or, where a kill came before the note, the one that bears this training's name."""
        place = folder.resolve()
        number = _noted(place)
        if number is None:
            done = _ask("squeue", "--me", "--noheader", "--format=%i", f"--name={_name(place)}")
            if done.returncode != 0:
                raise _away(done)
            number = next(iter(done.stdout.split()), None)
            if number is None:
                return None
            atomic.write_json(place / _NOTE_FILE, {"id": number})
        self._last = SlurmJob(place, number, self._asked.nodes, self._limit)
        return self._last if self._last.running else None


class SlurmJob:
    """One job of Slurm, over all times that Slurm queues it again."""

    def __init__(self, folder: Path, number: str, nodes: int, limit: float | None = None, before: float = 0.0) -> None:
        self._folder, self._number, self._nodes = folder, number, nodes
        self._limit, self._before = limit, before
        self.ran = 0.0  # seconds, as Slurm counts them
        self._state, self._reason, self._code = "PENDING", "", 0
        self._looked = float("-inf")
        self._log = folder / f"slurm-{number}.log"
        self._read = self._log.stat().st_size if self._log.exists() else 0

    @property
    def word(self) -> str:
        """Where the job stands, for those who wait."""
        reason = f" ({self._reason})" if self._state == "PENDING" and self._reason else ""
        return f"job {self._number} of Slurm is {self._state.lower()}{reason}"

    @property
    def running(self) -> bool:
        """Whether the job waits or runs. Slurm is asked every few seconds; while it does not answer, nothing has changed."""
        if self._state in _OVER:
            return False
        self._relay()
        pause = _LAST_LOOK_SECONDS if (self._folder / ENDED_FILE).exists() else _LOOK_SECONDS
        if time.monotonic() - self._looked >= pause:
            self._look()
            self._looked = time.monotonic()
            self._relay()
        return self._state not in _OVER

    def ask_to_stop(self) -> None:
        """SIGTERM to the ranks of a job that runs; one that has yet to begin has nothing to save."""
        self._look()
        signal = ["--signal=TERM"] if self._state in ("RUNNING", "COMPLETING") else []
        _ask("scancel", *signal, self._number)

    def kill(self) -> None:
        """End the job, if it is not over."""
        if not self.running:
            return
        _ask("scancel", "--signal=KILL", self._number)
        _ask("scancel", self._number)
        deadline = time.monotonic() + _GONE_SECONDS
        while self.running and time.monotonic() < deadline:
            time.sleep(_LAST_LOOK_SECONDS)
            self._looked = float("-inf")

    def end(self) -> End:
        """By the words of the ranks where the job ran to its own end, else by the state that Slurm gives it."""
        left = None if self._limit is None else self._limit - self._before - self.ran
        if left is not None and left < SHORTEST_SECONDS + NOTICE_SECONDS and self._state != "OUT_OF_MEMORY":
            return End(False, f"job {self._number} of Slurm ended as {self._state}", limit=self._limit)
        if self._state in _DIED:
            return End(True, f"job {self._number} of Slurm ended as {self._state}")
        if self._state in ("CANCELLED", "DEADLINE"):
            return End(False, f"job {self._number} of Slurm ended as {self._state}, which nobody asked for here")
        return end_of(self._folder, {0: self._code}, several=self._nodes > 1)

    def _look(self) -> None:
        done = _ask("scontrol", "show", "job", self._number, "--oneliner")
        if done.returncode == 0:
            fields = dict(re.findall(r"(\w+)=(\S*)", done.stdout))
            self._state, self._reason = fields.get("JobState", self._state), fields.get("Reason", "")
            self._code = _exit_code(fields.get("ExitCode", "0:0"))
            self.ran = max(self.ran, _elapsed(fields.get("RunTime", "")))
        elif "invalid job id" in _said(done).lower():  # over for longer than Slurm remembers; its accounting may know
            state, code = _accounted(self._number)
            self._state, self._code = state, code

    def _relay(self) -> None:
        """The job's log goes on into the log of this program."""
        if not self._log.exists():
            return
        with open(self._log, "rb") as stream:
            stream.seek(self._read)
            data = stream.read()
        if data:
            self._read += len(data)
            sys.stdout.write(data.decode(errors="replace"))
            sys.stdout.flush()


def _name(folder: Path) -> str:
    """A name for the job that no other training has."""
    return f"mlctl-{digest_bytes(str(folder).encode())[:16]}"


def _noted(folder: Path) -> str | None:
    try:
        return str(json.loads((folder / _NOTE_FILE).read_bytes())["id"])
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _accounted(number: str) -> tuple[str, int]:
    """How a job ended that Slurm's controller has forgotten. Without accounting only the ranks' own words are left."""
    done = _ask("sacct", "--jobs", number, "--noheader", "--parsable2", "--allocations", "--format=State,ExitCode")
    first = done.stdout.splitlines()[:1]
    if done.returncode != 0 or not first:
        return "COMPLETED", 0
    state, _, code = first[0].partition("|")
    return state.split()[0] if state.split()[0] in _OVER else "COMPLETED", _exit_code(code)


def _exit_code(text: str) -> int:
    """`1:0` is an exit code, `0:9` the end by a signal."""
    code, _, signal = text.partition(":")
    return -int(signal) if signal not in ("", "0") else int(code or 0)


def _elapsed(text: str) -> float:
    """Seconds of Slurm's `1-02:03:04`."""
    match = re.fullmatch(r"(?:(\d+)-)?(\d+):(\d+):(\d+)", text)
    if match is None:
        return 0.0
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    return float(((days * 24 + hours) * 60 + minutes) * 60 + seconds)


def _ask(program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which(program) is None:
        raise MlctlError.of(
            "executor.no-slurm",
            f"`{program}` is not installed here",
            "a training with `executor: {type: slurm}` is submitted by Slurm's own commands",
            "run mlctl on a machine of the cluster that can submit jobs",
        )
    return subprocess.run([program, *arguments], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def _said(done: subprocess.CompletedProcess[str]) -> str:
    return (done.stderr.strip() or done.stdout.strip()) or f"it left with exit code {done.returncode}"


def _away(done: subprocess.CompletedProcess[str]) -> MlctlError:
    return MlctlError.of(
        "executor.slurm-away",
        "Slurm does not say which jobs it has",
        _said(done),
        "a job of this training may run there; try again when the controller answers",
    )
