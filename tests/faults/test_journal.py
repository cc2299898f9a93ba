"""A journal that a real kill left behind, with its last line damaged: every command goes on, and apply mends it."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.tools]


@pytest.fixture(scope="module")
def healthy(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied without a kill."""
    project = Project.make(tmp_path_factory.mktemp("healthy") / "project")
    project.heal()
    return project


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Killed with -9 in the middle of its first apply, with some lines in the journal and no state file yet."""
    project = Project.make(tmp_path_factory.mktemp("killed") / "project")
    process = project.start("apply", "--auto-approve")
    deadline = time.monotonic() + 120
    while not project.journal.exists() or project.journal.read_bytes().count(b"\n") < 3:
        assert time.monotonic() < deadline, "the apply wrote no journal"
        assert process.poll() is None, "the apply was through before it was killed"
        time.sleep(0.001)
    process.kill()
    process.wait()
    while any(project.home.glob("objects/*/*/process.json")) and not any(project.home.glob("objects/*/*/result.json")):
        time.sleep(0.05)  # its worker outlives it, and must not write into the copies
    return project


def flip(place: float) -> Callable[[bytes], bytes]:
    """Turn one bit of one byte, at a share of the line's length."""

    def damage(line: bytes) -> bytes:
        at = round(place * (len(line) - 1))
        return line[:at] + bytes([line[at] ^ 0x10]) + line[at + 1 :]

    return damage


def cut(place: float) -> Callable[[bytes], bytes]:
    """Keep a share of the line."""
    return lambda line: line[: round(place * len(line))]


DAMAGES = {
    **{f"flip-{place}": flip(place) for place in (0, 0.01, 0.3, 0.7, 0.99, 1)},  # 0: the checksum, 1: the line break
    **{f"cut-{place}": cut(place) for place in (0, 0.01, 0.5, 0.99)},
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_last_line_is_survived(damage: str, killed: Project, healthy: Project, tmp_path: Path) -> None:
    project = killed.copy(tmp_path / "project")
    *whole, last, _ = project.journal.read_bytes().split(b"\n")
    damaged = DAMAGES[damage](last + b"\n")
    assert damaged != last + b"\n"
    project.journal.write_bytes(b"\n".join([*whole, damaged]))
    listed = project.run("state", "list")
    assert listed.returncode == 0, listed.stderr
    assert "(apply was cut off)" in listed.stdout
    plan = project.run("plan", "--detailed-exitcode")
    assert plan.returncode == 2, plan.stderr
    project.heal()
    assert project.objects() == healthy.objects()


def test_a_damaged_line_in_the_middle_is_reported_and_kept(killed: Project, healthy: Project, tmp_path: Path) -> None:
    project = killed.copy(tmp_path / "project")
    header, first, *rest = project.journal.read_bytes().split(b"\n")
    project.journal.write_bytes(b"\n".join([header, first[:20] + b"#" + first[21:], *rest]))
    broken = project.journal.read_bytes()
    for copy in (project.copy(tmp_path / "json"), project):
        done = copy.run("apply", "--auto-approve", *(["--json"] if copy is not project else []))
        assert done.returncode == 0, done.stderr
        assert "state.journal-damaged" in (done.stdout if copy is not project else done.stderr)
    (kept,) = project.home.glob("journal.damaged-*.jsonl")
    assert kept.read_bytes() == broken
    assert project.objects() == healthy.objects()
    assert "journal" not in project.run("apply", "--auto-approve").stderr  # told once


@pytest.mark.parametrize("place", [".mlctl", ".mlctl/default"])
def test_a_home_that_cannot_be_written_is_a_clear_error(place: str, healthy: Project, tmp_path: Path) -> None:
    """As root every folder can be written to, so a file stands in its place."""
    project = healthy.copy(tmp_path / "project")
    shutil.rmtree(project.root / place)
    (project.root / place).write_text("not a folder\n")
    done = project.run("apply", "--auto-approve")
    assert done.returncode == 1, done.stdout + done.stderr
    assert "state.cannot-write" in done.stderr
    assert str(project.home) in done.stderr
    assert not list(project.root.glob("mlctl-bug-*"))
    for command in ("plan", "status"):
        looked = project.run(command)
        assert looked.returncode in (0, 1), looked.stderr
        assert not list(project.root.glob("mlctl-bug-*"))
