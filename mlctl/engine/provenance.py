"""Who, when, from which code: what is written beside every object."""

from __future__ import annotations

import getpass
import os
import platform
import socket
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

from mlctl import __version__
from mlctl.spec.model import Owner


def who() -> str:
    """`user@host` of this process."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container without a user entry
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


@cache
def of(root: Path) -> dict[str, Any]:
    """The facts of this command that every object it makes shares. git is asked once."""
    facts: dict[str, Any] = {
        "by": who(),
        "mlctl": __version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
    }
    commit = _git(root, "rev-parse", "HEAD")
    if commit:
        facts["git"] = {"commit": commit, "dirty": bool(_git(root, "status", "--porcelain", "--untracked-files=no"))}
    return facts


def owned(owner: Owner) -> dict[str, Any]:
    """Who answers for the project, as far as it says so."""
    named = owner.model_dump(exclude_defaults=True)
    return {"owner": named} if named else {}


def _git(root: Path, *arguments: str) -> str:
    """One git answer; empty when there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", "-C", str(root), *arguments], capture_output=True, text=True, timeout=10, check=False
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
