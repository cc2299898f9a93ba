"""Where a model comes from: the bytes of its data, the code and what differs from its commit, the environment, the machine.

All of it is in one document, PROVENANCE_FILE, in the folder of the training and among the artifacts of its run.
"""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from blake3 import blake3

from mlctl import __version__
from mlctl.files.digests import FileDigests
from mlctl.runtime import secrets
from mlctl.runtime.trainer import devices
from mlctl.types.jobs.recipe import CausalLmModel, PythonModel, Recipe
from mlctl.types.jobs.train import TableData, TrainJob

PROVENANCE_FILE = "provenance.json"
DIFF_FILE = "git.diff"
SEARCHED_BY_TAG, TRIAL_TAG = (
    "mlctl.searched_by",
    "mlctl.trial",
)  # of a trial of a search: the search's address, and its number
_DIGESTS = FileDigests()
_DIFF_BYTES = 1 << 20  # of a diff that is kept; what is longer is data that was committed by mistake


def document(job: TrainJob, root: Path, *, data: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    """What is known of a training before it begins. `data` is what an earlier try had found of its data, which is not read again."""
    recipe = job.recipe
    found: dict[str, Any] = {
        "format": 1,
        "object": job.tracking.object,
        "address": job.tracking.labels.get(SEARCHED_BY_TAG, job.tracking.address),
        "trial": job.tracking.labels.get(TRIAL_TAG),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "data": datasets(job, root) if data is None else data,
        "code": {**_commit(root), **_model_code(recipe, root)},
        "base": _base(recipe),
        "recipe": recipe.model_dump(mode="json"),
        "seed": recipe.seed,
        "deterministic": recipe.deterministic,
        "environment": environment(),
        "execution": {
            "executor": job.executor.model_dump(mode="json"),
            "engine": recipe.engine,
            "layout": recipe.layout.model_dump(mode="json"),
            "processes": recipe.layout.processes,
            "command": list(sys.orig_argv),
        },
    }
    return dict(secrets.known().hidden(found))


def completed(stored: Mapping[str, Any], outputs: Mapping[str, Any], ended: Mapping[str, Any]) -> dict[str, Any]:
    """The document with what is known after the training: devices, what each rank held, and what came out."""
    ranks = ended["ranks"]
    held = {name: ended[name] for name in ("trainable", "parameters", "held") if name in ended}
    return {
        **stored,
        "run_id": outputs["run_id"],
        "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        "devices": {
            "names": [rank["device"] for rank in ranks],
            "processor": devices.processor(),
            "driver": devices.driver(),
        },
        "execution": {**stored["execution"], **held},
        "result": {
            "status": ended["status"],
            "steps": ended["step"],
            "digest": outputs["digest"],
            "metrics": outputs["metrics"],
            "rows": outputs.get("rows"),
            "seconds": outputs["seconds"],
        },
    }


def datasets(job: TrainJob, root: Path) -> list[dict[str, Any]]:
    """Every table that is learnt from, with the digest it goes by and those of its files. Each byte is read once in the life of a process."""
    data = job.data
    table = data.labels if isinstance(data, TableData) else data.dataset
    found = [("dataset", table.name, table.digest, table.files, table.rows)]
    if isinstance(data, TableData):
        found += [("feature_view", item.view, data.view_digests[item.view], [item.path], None) for item in data.views]
    return [
        {
            "kind": kind,
            "name": name,
            "digest": digest,
            "rows": rows,
            "files": dict(zip(files, _DIGESTS.files(files, root), strict=True)),
        }
        for kind, name, digest, files, rows in found
    ]


def git_state(root: Path) -> dict[str, str]:
    """The commit of the project and whether files differ from it; empty where there is no git or no commit."""
    commit = git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = git(root, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return {
        "mlflow.source.git.commit": commit,
        "mlctl.git.dirty": "unknown" if changed is None else str(bool(changed)).lower(),
    }


def git_diff(root: Path) -> str:
    """How the tracked files of the project differ from its commit, without secrets, and cut where it is long. Empty when they
    do not, and where there is no commit."""
    command = ["git", "diff", "HEAD", "--no-color", "--no-ext-diff", "--", ".", ":(exclude,glob)**/.env*"]
    try:
        with subprocess.Popen(command, cwd=root, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as running:
            data = running.stdout.read(_DIFF_BYTES + 1) if running.stdout is not None else b""
            if len(data) > _DIFF_BYTES:
                running.kill()
            elif running.wait(timeout=20) != 0:
                return ""
    except (OSError, subprocess.TimeoutExpired):
        return ""
    text = str(secrets.known().hidden(data[:_DIFF_BYTES].decode("utf-8", "replace")))
    return text if len(data) <= _DIFF_BYTES else f"{text}\n[the rest of more than {_DIFF_BYTES} bytes is left out]\n"


@cache
def requirements() -> str:
    """All installed distributions with their versions, as `pip freeze` lists them."""
    found = {
        f"{item.metadata['Name']}=={item.version}"
        for item in importlib.metadata.distributions()
        if item.metadata["Name"]
    }
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def environment() -> dict[str, str]:
    """The interpreter, the system, our own version, and one digest of all packages."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "mlctl": __version__,
        "packages": blake3(requirements().encode()).hexdigest(),
    }


def machine() -> dict[str, str]:
    """The interpreter, the system, and what it computes with, as parameters of a run."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "mlflow")}
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "cpus": str(os.cpu_count()),
        "processor": devices.processor(),
    }


def _commit(root: Path) -> dict[str, Any]:
    state, diff = git_state(root), git_diff(root)
    if not state:
        return {"commit": None, "dirty": None, "diff": None}
    return {
        "commit": state["mlflow.source.git.commit"],
        "dirty": state["mlctl.git.dirty"] == "true",
        "diff": blake3(diff.encode()).hexdigest() if diff else None,
    }


def _model_code(recipe: Recipe, root: Path) -> dict[str, Any]:
    """The project's own files that make the model, each by its digest."""
    if not isinstance(recipe.model, PythonModel):
        return {"digest": None, "files": {}}
    files = recipe.model.closure
    return {
        "digest": recipe.model.code_digest,
        "files": dict(zip(files, _DIGESTS.files(files, root), strict=True)),
    }


def _base(recipe: Recipe) -> dict[str, Any] | None:
    """The weights a training begins with, and those it learns from."""
    if not isinstance(recipe.model, CausalLmModel):
        return None
    found = recipe.model.model_dump(mode="json", exclude={"type"})
    if recipe.distillation is not None:
        found["teacher"] = {"base": recipe.distillation.teacher, "digest": recipe.distillation.teacher_digest}
    return found


def git(root: Path, *arguments: str) -> str | None:
    """What git says of a folder; None where it is not there, fails, or takes too long."""
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
