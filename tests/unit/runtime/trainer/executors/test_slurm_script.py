"""The batch script is a pure function of what is asked for, and no value gets out of its quotes."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from mlctl.runtime.trainer.executors import slurm
from mlctl.runtime.trainer.executors.slurm_script import script
from mlctl.types.jobs.executors import SlurmExecutor

ASKED = SlurmExecutor(
    nodes=2, partition="gpu", account="team", qos="high", time_seconds=5430, gpus_per_node=4, cpus_per_task=16, memory="64G",
    constraint="a100&ib", modules=["cuda/12.8", "nccl"],
)  # fmt: skip


def made(
    asked: SlurmExecutor,
    project: str = "/shared/project",
    folder: str = "/shared/project/.mlctl/job",
    seconds: float | None = None,
) -> str:
    return script(
        asked,
        name="mlctl-0123456789abcdef",
        project=Path(project),
        folder=Path(folder),
        environment={"DS_ACCELERATOR": "cpu", "PATH": "/venv/bin:/bin"},
        python="/venv/bin/python",
        torchrun=["--nproc-per-node", "4", "-m", "mlctl.runtime.trainer.worker", folder],
        seconds=seconds,
    )


def test_everything_that_was_asked_for_is_in_the_script() -> None:
    golden = Path(__file__).with_name("slurm.sh")
    assert made(ASKED) == golden.read_text()


def test_what_was_not_asked_for_is_left_to_the_cluster() -> None:
    text = made(SlurmExecutor())
    assert "module" not in text
    assert not [
        name for name in ("partition", "account", "qos", "time=", "gpus", "cpus", "mem", "constraint") if name in text
    ]


def test_a_path_cannot_become_a_command_or_a_pattern() -> None:
    text = made(ASKED, "/shared/it's $(touch x)%j", "/shared/it's $(touch x)%j/job")
    assert "#SBATCH --chdir='/shared/it'\"'\"'s $(touch x)%%j'\n" in text
    done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    inner = next(line for line in text.splitlines() if line.startswith("srun"))
    # the same words, as the shells on the nodes would see them
    srun = "srun() { shift 3; bash -c \"${1/exec/printf '%s\\\\n'}\"; }"
    shown = subprocess.run(
        ["bash", "-c", f"export SLURM_NODEID=1 master=m port=5; {srun}; {inner.removesuffix('&')}"],
        text=True, capture_output=True, check=False,
    )  # fmt: skip
    assert "/shared/it's $(touch x)%j/job" in shown.stdout.splitlines()


@pytest.mark.parametrize(
    ("asked", "left", "minutes"),
    [
        (5430.0, None, "91"),  # no shorter than what was asked for
        (5430.0, 3700.0, "61"),  # and no longer than what is left
        (1800.0, 3700.0, "30"),
        (None, 3700.0, "61"),
        (None, 30.0, "2"),
    ],
)
def test_a_budget_never_makes_a_limit_longer(asked: float | None, left: float | None, minutes: str) -> None:
    text = made(SlurmExecutor(time_seconds=asked), seconds=left)
    assert f"#SBATCH --time={minutes}\n" in text


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("00:01:05", 65.0), ("02:00:00", 7200.0), ("1-02:03:04", 93_784.0), ("INVALID", 0.0), ("", 0.0)],
)
def test_slurms_times_are_read(text: str, seconds: float) -> None:
    assert slurm._elapsed(text) == seconds


@pytest.mark.parametrize(
    ("limit", "before", "ran", "reached"),
    [
        (None, 0.0, 9e9, False),
        (7200.0, 0.0, 3600.0, False),
        (7200.0, 0.0, 7100.0, True),
        (7200.0, 5000.0, 2100.0, True),
    ],
)
def test_a_job_that_used_its_budget_up_is_not_followed_by_another(
    tmp_path: Path, limit: float | None, before: float, ran: float, reached: bool
) -> None:
    job = slurm.SlurmJob(tmp_path, "7", 1, limit, before)
    job._state, job.ran = "TIMEOUT", ran
    assert job.end().limit == (limit if reached else None)
