"""Small projects of one table, and places that fill up or cannot be written, for faults of the state."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.project import MLCTL, Project

FILE = "project: small\ndatasets:\n  visits: {path: data/visits.csv}\n  shops: {path: data/shops.csv}\n"
PAGE = 4096


def small(root: Path) -> Project:
    """Two tables of two rows, profiled in a second."""
    (root / "data").mkdir(parents=True)
    (root / "data" / "visits.csv").write_text("visit_id,spent\n1,2\n2,4\n")
    (root / "data" / "shops.csv").write_text("shop_id,name\n1,a\n2,b\n")
    (root / "mlctl.yaml").write_text(FILE)
    return Project(root)


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of some bytes mounted on a folder. Skips where nobody may mount."""
    folder.mkdir(parents=True, exist_ok=True)
    mount = shutil.which("mount")
    command = [mount or "mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if mount is None or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a small disk can only be mounted by root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


def fill(folder: Path, left: int) -> Path:
    """Fill a disk but for some bytes; the file to remove to make room again."""
    ballast = folder / "ballast"
    free = shutil.disk_usage(folder).free - left
    with open(ballast, "wb") as stream:
        stream.write(b"\0" * max(free, 0))
    return ballast


def without_power(project: Project, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run `mlctl` as a root whom file modes bind as they bind everybody else. Skips where that cannot be had."""
    drop = shutil.which("setpriv")
    if drop is None:
        pytest.skip("setpriv is not installed")
    capabilities = "-dac_override,-dac_read_search"
    command = [drop, f"--bounding-set={capabilities}", f"--inh-caps={capabilities}", MLCTL, *arguments]
    return subprocess.run(
        command, cwd=project.root, capture_output=True, text=True, stdin=subprocess.DEVNULL, timeout=120, check=False
    )
