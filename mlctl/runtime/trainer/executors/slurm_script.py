"""The batch script of a training under Slurm: a pure function of what is asked for."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path

from mlctl.runtime.trainer.plan import ENDED_FILE, ERRORS_FOLDER
from mlctl.types.jobs.executors import SlurmExecutor

NOTICE_SECONDS = 60  # before its time limit, a job is told to save
SHORTEST_SECONDS = 120  # of a job: less is over before it has begun
_MODULES = "type module >/dev/null 2>&1 || . /etc/profile"  # not every site hands `module` on to batch jobs


def script(
    asked: SlurmExecutor,
    *,
    name: str,
    project: Path,
    folder: Path,
    environment: Mapping[str, str],
    python: str,
    torchrun: Sequence[str],
    seconds: float | None = None,
) -> str:
    """One torchrun a node, which meet on the first one. Everything from outside is quoted. `seconds` is what the budget leaves
    it, which never makes a limit longer."""
    options = {
        "job-name": name,
        "nodes": asked.nodes,
        "ntasks-per-node": 1,
        "chdir": _pattern(project),
        "output": _pattern(folder / "slurm-") + "%j.log",
        "open-mode": "append",
        "signal": f"B:TERM@{NOTICE_SECONDS}",
        "partition": asked.partition,
        "account": asked.account,
        "qos": asked.qos,
        "time": _minutes(asked.time_seconds, seconds),
        "gpus-per-node": asked.gpus_per_node,
        "cpus-per-task": asked.cpus_per_task,
        "mem": asked.memory,
        "constraint": asked.constraint,
    }
    given = [f"#SBATCH --{key}={shlex.quote(str(value))}" for key, value in options.items() if value is not None]
    exports = [f"export {key}={shlex.quote(value)}" for key, value in sorted(environment.items())]
    stale = shlex.join([str(folder / ERRORS_FOLDER), str(folder / ENDED_FILE)])
    agent = shlex.join([python, "-m", "mlctl.runtime.trainer.executors.agent", str(folder)])
    ranks = (
        f'exec {agent} "$SLURM_NODEID" --nnodes {asked.nodes} --node-rank "$SLURM_NODEID"'
        f' --master-addr "$master" --master-port "$port" {shlex.join(torchrun)}'
    )
    lines = [
        "#!/bin/bash",
        *given,
        "#SBATCH --requeue",
        "",
        *exports,
        *([_MODULES, f"module load {shlex.join(asked.modules)}"] if asked.modules else []),
        "# a job that Slurm has queued again: away with what the ranks before left about their end",
        f'if [ "${{SLURM_RESTART_COUNT:-0}}" -gt 0 ]; then rm -rf {stale}; fi',
        'first=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)',
        "master=$(scontrol show node \"$first\" --oneliner | sed -n 's/.* NodeAddr=\\([^ ]*\\).*/\\1/p')",
        "port=$((20000 + SLURM_JOB_ID % 20000))",
        "export master port",
        "# told to save, which only this shell is: hand it on to the ranks, once",
        'trap \'trap "" TERM; scancel --signal=TERM "$SLURM_JOB_ID"\' TERM',
        f"srun --kill-on-bad-exit=1 bash -c {shlex.quote(ranks)} &",
        "step=$!",
        'while kill -0 "$step" 2>/dev/null; do wait "$step"; code=$?; done',
        'exit "$code"',
    ]
    return "\n".join(lines) + "\n"


def _minutes(asked: float | None, left: float | None) -> int | None:
    """Whole minutes, as Slurm counts: no shorter than what is asked for, and no longer than what is left."""
    if left is None:
        return None if asked is None else math.ceil(asked / 60)
    most = max(SHORTEST_SECONDS, left) // 60
    return int(most if asked is None else min(math.ceil(asked / 60), most))


def _pattern(path: Path) -> str:
    """A path in which Slurm replaces nothing."""
    return str(path).replace("%", "%%")
