"""Make the environments of tools that want other versions of libraries than mlctl does (`mlctl.types.environments`)."""

from __future__ import annotations

import os
import platform
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from mlctl.files import atomic
from mlctl.files.lock import FileLock
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.environments import (
    ENVIRONMENTS,
    READY_FILE,
    Pinned,
    environment_folder,
    environment_python,
    environment_ready,
    runs_here,
)

_TAIL_LINES = 12
_OFFLINE = re.compile(
    r"NewConnectionError|Name or service not known|Temporary failure in name resolution|ConnectTimeout|Connection refused"
    r"|Network is unreachable|ProxyError|No matching distribution found",
    re.IGNORECASE,
)
_STEPS = re.compile(r"(Collecting|Downloading|Using cached|Installing collected packages|Building wheel)\b.*")


def install(name: str, tell: Callable[[str], None]) -> Path:
    """The interpreter of an environment that is made if it is not there; `tell` hears how far it is. Raises MlctlError.

    One that a kill left half made is made anew. Two at once: the second waits for the first, and takes what it made.
    """
    pinned = _pinned(name)
    folder = environment_folder(name)
    folder.parent.mkdir(parents=True, exist_ok=True)
    lock = FileLock(folder.with_name(f".{folder.name}.lock"))
    if not lock.acquire():
        tell("waiting for another process that makes it")
        lock.acquire(blocking=True)
    try:
        if not environment_ready(name):
            _make(pinned, folder, environment_python(name), tell)
        return environment_python(name)
    finally:
        lock.release()


def _pinned(name: str) -> Pinned:
    if name not in ENVIRONMENTS:
        raise MlctlError.of(
            "engine.unknown",
            f"there is no environment `{name}`",
            f"mlctl makes those of {', '.join(sorted(ENVIRONMENTS))}",
            did_you_mean(name, ENVIRONMENTS) or "see `mlctl engine list`",
        )
    if not runs_here(name):
        raise MlctlError.of(
            "engine.other-system",
            f"`{name}` cannot be installed here",
            f"its packages are made for {ENVIRONMENTS[name].needs}, and this is {platform.system()}",
            "install it where it is to run",
        )
    return ENVIRONMENTS[name]


def _make(pinned: Pinned, folder: Path, python: Path, tell: Callable[[str], None]) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    tell("making the environment")
    _run([sys.executable, "-m", "venv", str(folder)], pinned, lambda line: None)
    command = [str(python), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--retries", "2"]

    def step(line: str) -> None:
        if match := _STEPS.match(line.strip()):
            tell(" ".join(match[0].split())[:100])

    _run([*command, *pinned.packages], pinned, step)
    if pinned.removed:
        _run([str(python), "-m", "pip", "uninstall", "--yes", *pinned.removed], pinned, lambda line: None)
    for name, version in pinned.named:
        _name(folder, name, version)
    tell("trying it out")
    _run([str(python), *pinned.proof], pinned, lambda line: None)
    atomic.write_json(folder / READY_FILE, {"packages": list(pinned.packages)})


def _name(folder: Path, name: str, version: str) -> None:
    """A distribution that has a name and a version and nothing else, for those who ask for what is there under another name."""
    [packages] = folder.glob("lib/python*/site-packages")
    entry = packages / f"{name}-{version}.dist-info"
    entry.mkdir()
    (entry / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (entry / "INSTALLER").write_text("mlctl\n")
    (entry / "RECORD").write_text("".join(f"{entry.name}/{file},,\n" for file in ("METADATA", "INSTALLER", "RECORD")))


def _run(command: list[str], pinned: Pinned, tell: Callable[[str], None]) -> None:
    """Run one step to its end, line by line. Raises MlctlError with the end of what it said."""
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "PIP_PROGRESS_BAR": "off"}
    environment.pop("PYTHONPATH", None)
    said: list[str] = []
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None  # noqa: S101
        for line in process.stdout:
            said.append(line.rstrip())
            tell(line)
    if process.returncode == 0:
        return
    tail = "\n".join(said[-_TAIL_LINES:])
    offline = any(map(_OFFLINE.search, said))
    raise MlctlError.of(
        "engine.not-installed",
        f"{' '.join(pinned.packages)} could not be installed",
        tail,
        "this machine does not reach a package index, or that does not have it: set `PIP_INDEX_URL`, or make it where it is reached"
        if offline
        else "see the words of pip; what is half made does not count, and running this again makes it anew",
    )
