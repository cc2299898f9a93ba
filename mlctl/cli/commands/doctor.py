"""mlctl doctor: what this machine has, and what is missing."""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, make_app
from mlctl.cli.project import DEFAULT_DIR, Folder
from mlctl.estimate.host import usable_cores
from mlctl.types.environments import ENVIRONMENTS, environment_ready
from mlctl.views.human.style import Paint, columns, wants_color

app = make_app()

# The package that an extra is for, and the extra's name.
EXTRAS = {
    "duckdb": "data", "great_expectations": "data", "evidently": "data", "feast": "features", "mlflow": "track", "torch": "train",
    "deepspeed": "train", "peft": "train", "prometheus_client": "serve", "statsmodels": "stats", "onnxruntime": "edge",
}  # fmt: skip
_MISSING = ("pip install", "mlctl engine install")  # what helps when something is only not there
_SPARE_BYTES = 5 * 2**30


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at."""

    name: str
    ok: bool
    text: str
    fix: str = ""


@app.command(
    help="Check this machine: Python, packages of each extra, disk. With --deep every package is imported, which finds broken ones.\n\n"
    "Examples:\n\n  mlctl doctor\n\n  mlctl doctor --deep",
)
def doctor(
    deep: Annotated[
        bool, typer.Option("--deep", help="Import every package, each in a process of its own (a minute).")
    ] = False,
    project: Folder = DEFAULT_DIR,
    as_json: AsJson = False,
) -> int:
    """Look and tell. Exit 1 when something is broken; a missing extra alone is not."""
    packages = (_package(name, extra, deep) for name, extra in EXTRAS.items())
    found = [*_machine(project), *packages, *_environments()]
    paint = Paint(wants_color(sys.stdout))
    if as_json:
        for item in found:
            emit_json({"type": "doctor", "name": item.name, "ok": item.ok, "text": item.text, "fix": item.fix})
    else:
        for item, line in zip(found, columns([[item.name, item.text, item.fix] for item in found]), strict=True):
            missing = paint("·" if item.fix.startswith(_MISSING) else "✗", "yellow")
            mark = paint("✓", "green") if item.ok and not item.fix else missing
            print(f"{mark} {line}")
    return 0 if all(item.ok or item.fix.startswith(_MISSING) for item in found) else 1


def _machine(folder: Path) -> Iterator[Finding]:
    yield Finding(
        "python",
        sys.version_info >= (3, 11),
        f"{platform.python_version()} on {platform.platform()}",
        "" if sys.version_info >= (3, 11) else "install Python 3.11",
    )
    free = shutil.disk_usage(folder).free
    yield Finding(
        "disk",
        free > _SPARE_BYTES,
        f"{free / 2**30:.0f} GiB free",
        "" if free > _SPARE_BYTES else "free some space: models and checkpoints need it",
    )
    yield Finding("cpus", True, f"{usable_cores()} usable")
    gpus = shutil.which("nvidia-smi")
    yield Finding("gpu", True, "nvidia-smi found" if gpus else "none; training and serving run on the CPU")


def _package(name: str, extra: str, deep: bool) -> Finding:
    try:
        text = version(name.replace("_", "-"))
    except PackageNotFoundError:
        return Finding(name, False, "not installed", f"pip install 'mlctl[{extra}]'")
    if deep:
        done = subprocess.run(
            [sys.executable, "-c", f"import {name}"], capture_output=True, text=True, timeout=300, check=False
        )
        if done.returncode:
            last = done.stderr.strip().splitlines()[-1:] or ["it ended without a word"]
            return Finding(
                name, False, f"{text}, does not import: {last[0]}", "reinstall the locked versions: scripts/setup"
            )
    return Finding(name, True, text)


def _environments() -> Iterator[Finding]:
    """Tools that have an environment of their own; none is needed before a project names it."""
    for name, pinned in ENVIRONMENTS.items():
        if environment_ready(name):
            yield Finding(name, True, f"{pinned.version}, in an environment of its own")
        else:
            yield Finding(name, True, f"not installed: {pinned.what}", f"mlctl engine install {name}")
