"""Disks that are full, or may not be written: a clear error, nothing lost, and the next apply heals."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.faults.places import PAGE, fill, small, small_disk, without_power
from tests.faults.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.tools]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied once."""
    project = small(tmp_path_factory.mktemp("applied") / "project")
    project.heal()
    return project


def clear(stderr: str) -> bool:
    """Whether an error is one that tells what to do, and no bug of ours."""
    return "Traceback" not in stderr and "bug." not in stderr and "fix:" in stderr


@pytest.mark.parametrize("pages", [0, 2, 5, 14])
def test_a_disk_that_fills_up_during_an_apply_loses_nothing(pages: int, applied: Project, tmp_path: Path) -> None:
    """With more and more room left, the apply gets further before the disk is full."""
    project = small(tmp_path / "project")
    with small_disk(project.home, 100 * PAGE):
        ballast = fill(project.home, pages * PAGE)
        failed = project.run("apply", "--auto-approve")
        if failed.returncode:
            assert clear(failed.stderr + failed.stdout), failed.stderr
            assert "No space left on device" in failed.stderr + failed.stdout
            assert failed.returncode == (8 if "\ndone " in failed.stdout else 1)
            assert ("ll is done" in failed.stdout) is (" ✓ " in failed.stdout or " ✗ " in failed.stdout)
        looked = project.run("state", "list")
        assert looked.returncode == 0, looked.stderr
        ballast.unlink()
        project.heal()
        assert project.objects() == applied.objects()
        checked = project.run("state", "fsck", "--repair", "--auto-approve")
        assert checked.returncode == 0, checked.stdout + checked.stderr


def test_a_disk_that_is_full_refuses_a_change_by_hand_and_keeps_the_state(tmp_path: Path) -> None:
    project = small(tmp_path / "project")
    with small_disk(project.home, 100 * PAGE):
        project.heal()
        before = json.loads(project.run("state", "pull", "--json").stdout)
        ballast = fill(project.home, 0)
        for command in (["rm", "datasets.shops"], ["mv", "datasets.shops", "datasets.places"], ["undo"]):
            failed = project.run("state", *command, "--auto-approve")
            assert failed.returncode == 1, failed.stdout
            assert clear(failed.stderr)
        assert json.loads(project.run("state", "pull", "--json").stdout) == before
        ballast.unlink()
        assert project.run("state", "rm", "datasets.shops", "--auto-approve").returncode == 0
        assert len(json.loads(project.run("state", "pull", "--json").stdout)["objects"]) == 1


def test_a_folder_that_may_not_be_written_can_be_read_and_refuses_a_change(applied: Project, tmp_path: Path) -> None:
    project = applied.copy(tmp_path / "project")
    before = project.objects()
    project.home.chmod(0o500)
    try:
        for command in (["plan", "--detailed-exitcode"], ["state", "list"], ["state", "log"], ["state", "fsck"]):
            looked = without_power(project, *command)
            assert looked.returncode == 0, looked.stdout + looked.stderr
        for command in (["state", "rm", "datasets.shops", "--auto-approve"], ["state", "undo", "--auto-approve"]):
            failed = without_power(project, *command)
            assert failed.returncode == 1, failed.stdout
            assert "state.cannot-write" in failed.stderr
            assert clear(failed.stderr)
    finally:
        project.home.chmod(0o700)
    assert project.objects() == before
    assert project.run("plan", "--detailed-exitcode").returncode == 0


def test_a_state_that_may_not_be_read_is_a_clear_error(applied: Project, tmp_path: Path) -> None:
    project = applied.copy(tmp_path / "project")
    state = project.home / "state.json"
    state.chmod(0)
    for command in (["plan"], ["state", "list"], ["apply", "--auto-approve"]):
        failed = without_power(project, *command)
        assert failed.returncode == 1, failed.stdout
        assert "state.cannot-read" in failed.stderr
        assert clear(failed.stderr)
    state.chmod(0o600)
    project.heal()
