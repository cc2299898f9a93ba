"""Where a model comes from besides its data: the code's commit, the environment, the machine."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path


def git_state(root: Path) -> dict[str, str]:
    """The commit of the project and whether files differ from it; empty where there is no git or no commit."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ".")
    return {
        "mlflow.source.git.commit": commit,
        "mlctl.git.dirty": "unknown" if changed is None else str(bool(changed)).lower(),
    }


def requirements() -> str:
    """All installed distributions with their versions, as `pip freeze` lists them."""
    found = {
        f"{item.metadata['Name']}=={item.version}"
        for item in importlib.metadata.distributions()
        if item.metadata["Name"]
    }
    return "\n".join(sorted(found, key=str.lower)) + "\n"


def machine() -> dict[str, str]:
    """The interpreter, the system, and what it computes with."""
    versions = {name: importlib.metadata.version(name) for name in ("torch", "numpy", "mlflow")}
    return {
        "python": platform.python_version(),
        **versions,
        "platform": platform.platform(),
        "cpus": str(os.cpu_count()),
    }


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None
