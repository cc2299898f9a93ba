"""Ranks on machines that SkyPilot finds, as a managed job: its own client launches, lists and cancels it.

SkyPilot wants other versions of libraries than mlctl does, so that it lives in an environment of its own.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.trainer.executors import commands, skypilot_task
from mlctl.runtime.trainer.executors.away import Away, Order, Seen
from mlctl.types.diagnostic import MlctlError
from mlctl.types.environments import environment_python, environment_ready
from mlctl.types.jobs.remote import SkyPilotExecutor
from mlctl.types.jobs.train import TrainJob

RENDERED_FILE = "skypilot.yaml"
_SECONDS, _LAUNCH_SECONDS = 300.0, 1800.0  # the first call starts a server, the first launch a controller
_OVER = (
    "SUCCEEDED", "CANCELLED", "FAILED", "FAILED_SETUP", "FAILED_PRECHECKS", "FAILED_NO_RESOURCE", "FAILED_CONTROLLER",
)  # fmt: skip
_NO_CONTROLLER = re.compile(
    r"sky-jobs-controller\S* does not exist|No managed jobs found|no in-progress managed jobs", re.IGNORECASE
)
_QUIET = {"SKYPILOT_DISABLE_USAGE_COLLECTION": "1", "NO_COLOR": "1"}
_FIX = "see `sky check` and `sky api status`; then run `mlctl apply` again"
# Run by SkyPilot's own Python: it knows best what a task may say. Secrets have no values here and need none.
_CHECK = """
import sys, yaml, sky
config = yaml.safe_load(sys.stdin)
try:
    sky.Task.from_yaml_config(config, secrets_overrides=[(name, 'x') for name in config.get('secrets') or {}])
except Exception as error:
    sys.exit(f'{type(error).__name__}: {error}')
"""


def executor(job: TrainJob) -> Away:
    """The executor of a job that names this one."""
    asked = job.executor
    if not isinstance(asked, SkyPilotExecutor):
        raise TypeError(f"not for skypilot: {asked.type}")
    return Away(job, asked.storage, asked.nodes, SkyPilotCluster(asked))


class SkyPilotCluster:
    """The managed jobs of one user of SkyPilot."""

    ask_seconds = 60.0  # its client takes seconds to answer

    def __init__(self, asked: SkyPilotExecutor) -> None:
        self._asked = asked
        self._known: str | None = None

    def submit(self, order: Order) -> None:
        """Have SkyPilot check the task, and launch it. Raises MlctlError, with SkyPilot's own words for what it refuses."""
        missing = [name for name in self._asked.secrets if name not in os.environ]
        if missing:
            raise MlctlError.of(
                "executor.secret-missing",
                f"the environment has no {', '.join(f'`{name}`' for name in missing)}",
                "`executor.secrets` names variables that the machines are to get",
                "set them as for `mlctl apply`, or take them out of `executor.secrets`",
            )
        text = skypilot_task.text(order, self._asked)
        atomic.write_bytes(order.folder / RENDERED_FILE, text.encode())
        self.check(text)
        handed_on = [part for name in sorted(self._asked.secrets) for part in ("--secret", name)]
        self._sky(
            "launching the job", "launch", "--yes", "--detach-run", "--name", order.name, *handed_on,
            str(order.folder / RENDERED_FILE), seconds=_LAUNCH_SECONDS,
        )  # fmt: skip

    def check(self, text: str) -> None:
        """Have SkyPilot read a task, offline. Raises MlctlError."""
        commands.run(
            [self._python(), "-c", _CHECK], given=text, seconds=_SECONDS, code="executor.skypilot-task",
            doing="reading the task", fix="correct the fields under `executor`, those in `options` too", environment=_QUIET,
        )  # fmt: skip

    def find(self, name: str) -> Seen | None:
        """How the job is doing. Raises MlctlError."""
        try:
            listed = self._sky("listing jobs", "queue", "--output", "json", "--all", "--refresh")
        except MlctlError as error:
            if _NO_CONTROLLER.search(error.diagnostics[0].why):  # nothing was ever launched
                return None
            raise
        found = [item for item in _json_of(listed) if item.get("job_name") == name]
        if not found:
            return None
        status = str(found[0].get("status"))
        words = " ".join(filter(None, [status, found[0].get("failure_reason") or found[0].get("details")]))
        return Seen(status in _OVER, words)

    def cancel(self, name: str) -> None:
        """End the job and give its machines back. Raises MlctlError."""
        seen = self.find(name)
        if seen is not None and not seen.over:
            self._sky("cancelling the job", "cancel", "--name", name, "--yes")

    def _sky(self, doing: str, verb: str, *arguments: str, seconds: float = _SECONDS) -> str:
        program = str(Path(self._python()).with_name("sky"))
        return commands.run(
            [program, "jobs", verb, *arguments], seconds=seconds, code="executor.skypilot", doing=doing, fix=_FIX,
            environment={**_QUIET, "PATH": os.pathsep.join([str(Path(program).parent), os.environ.get("PATH", os.defpath)])},
        )  # fmt: skip

    def _python(self) -> str:
        """The interpreter of the environment that holds SkyPilot. Raises MlctlError when there is none."""
        if self._known is None:
            self._known = _interpreter(self._asked.python)
        return self._known


def _interpreter(asked: str | None) -> str:
    if asked is not None:
        found = shutil.which(os.path.expanduser(asked))
        if found is None or not Path(found).with_name("sky").exists():
            raise MlctlError.of(
                "executor.skypilot-missing",
                f"`{asked}` is not a Python with SkyPilot",
                "`executor.python` names the interpreter of an environment in which it is installed",
                "correct it, or leave it out and run `mlctl engine install skypilot`",
            )
        return found
    if environment_ready("skypilot"):
        return str(environment_python("skypilot"))
    sky = shutil.which("sky")
    beside = Path(sky).resolve().with_name("python") if sky is not None else None
    if beside is None or not beside.exists() or beside.parent == Path(sys.executable).parent:
        raise MlctlError.of(
            "executor.skypilot-missing",
            "SkyPilot is not installed",
            "it lives in an environment of its own, since it wants other versions of libraries than mlctl does",
            "run `mlctl engine install skypilot`, or name the interpreter of yours under `executor.python`",
        )
    return str(beside)


def _json_of(text: str) -> list[dict[str, Any]]:
    """The JSON list that the client prints, behind any notes it prints first. Raises MlctlError for anything else."""
    for start in (match.start() for match in re.finditer(r"^\[", text, re.MULTILINE)):
        try:
            found = json.loads(text[start:])
        except ValueError:
            continue
        if isinstance(found, list) and all(isinstance(item, dict) for item in found):
            return found
    raise MlctlError.of(
        "executor.skypilot", "`sky` did not list jobs in a form that can be read", text.strip()[-400:], _FIX
    )
