"""A state that something else damaged, exchanged or removed: a clear error, nothing lost, and the next apply heals."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from mlctl.engine.store import LocalStore
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record
from tests.faults.places import small
from tests.faults.project import MLCTL, Project

pytestmark = [pytest.mark.slow, pytest.mark.tools]


@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """Applied twice, with a change in between."""
    project = small(tmp_path_factory.mktemp("applied") / "project")
    project.heal()
    (project.root / "data" / "shops.csv").write_text("shop_id,name\n1,a\n2,c\n")
    project.heal()
    return project


@pytest.mark.parametrize("seed", range(2))
def test_a_state_that_was_cut_anywhere_is_refused_kept_and_brought_back(
    seed: int, applied: Project, tmp_path: Path
) -> None:
    project = applied.copy(tmp_path / "project")
    state = project.home / "state.json"
    whole = state.read_bytes()
    broken = whole[: random.Random(seed).randrange(len(whole) - 1)]
    state.write_bytes(broken)
    for command in (["plan"], ["apply", "--auto-approve"], ["state", "rm", "datasets.shops", "--auto-approve"]):
        failed = project.run(*command)
        assert failed.returncode == 1, failed.stdout
        assert "state.damaged" in failed.stderr
        assert "mlctl state undo" in failed.stderr
        assert state.read_bytes() == broken
    undone = project.run("state", "undo", "--auto-approve")
    assert undone.returncode == 0, undone.stderr
    assert project.objects() == applied.objects()
    assert [path.read_bytes() for path in project.home.glob("state.damaged-*.json")] == [broken]
    project.heal()
    assert project.run("state", "fsck").returncode == 0


def test_a_state_that_was_removed_is_not_taken_for_a_new_project(applied: Project, tmp_path: Path) -> None:
    project = applied.copy(tmp_path / "project")
    (project.home / "state.json").unlink()
    failed = project.run("apply", "--auto-approve")
    assert failed.returncode == 1
    assert "state.missing" in failed.stderr
    assert project.run("state", "undo", "--auto-approve").returncode == 0
    assert project.objects() == applied.objects()
    project.heal()


def test_the_journal_and_the_state_of_another_project_are_not_mixed_into_this_one(
    applied: Project, tmp_path: Path
) -> None:
    project = applied.copy(tmp_path / "project")
    other = LocalStore(tmp_path / "other")
    with other.session("apply") as session:
        session.record(Record(ObjectKey.parse("datasets.foreign#1"), sequence=1))
        shutil.copy(tmp_path / "other" / "journal.jsonl", project.journal)
    plan = project.run("plan", "--detailed-exitcode")
    assert plan.returncode == 0, plan.stdout
    done = project.run("apply", "--auto-approve")
    assert done.returncode == 0, done.stderr
    assert "state.journal-foreign" in done.stderr
    (kept,) = project.home.glob("journal.foreign-*.jsonl")
    assert b"datasets.foreign" in kept.read_bytes()
    assert project.objects() == applied.objects()
    pushed = project.run("state", "push", str(tmp_path / "other" / "state.json"), "--auto-approve")
    assert pushed.returncode == 1
    assert "state.push-refused" in pushed.stderr
    assert project.objects() == applied.objects()


def test_of_two_writers_at_once_one_works_and_the_other_is_told_who(applied: Project, tmp_path: Path) -> None:
    project = applied.copy(tmp_path / "project")
    with LocalStore(project.home).session("apply"):
        failed = project.run("state", "rm", "datasets.shops", "--auto-approve")
        assert failed.returncode == 6
        assert "state.locked" in failed.stderr
        assert "running `apply`" in failed.stderr
        lock = json.loads((project.home / "lock.json").read_text())["id"]
        refused = project.run("force-unlock", lock, "--auto-approve")
        assert refused.returncode == 6
        assert "lives" in refused.stderr
        assert project.run("plan", "--detailed-exitcode").returncode == 0
    codes: list[int] = []

    def forget() -> None:
        codes.append(project.run("state", "rm", "datasets.shops", "--auto-approve").returncode)

    threads = [threading.Thread(target=forget) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert codes.count(0) == 1, codes
    assert set(codes) <= {0, 1, 6}  # forgotten already, or locked
    assert project.run("state", "fsck").returncode in (0, 1)
    assert len(json.loads(project.run("state", "pull", "--json").stdout)["objects"]) == 1


def test_the_lock_of_a_process_that_left_a_child_behind_can_be_forced(applied: Project, tmp_path: Path) -> None:
    """The one way a lock on this machine outlives its holder: something it started still holds the file."""
    project = applied.copy(tmp_path / "project")
    program = (
        "import os, pathlib, subprocess, sys\n"
        "from mlctl.engine.store import LocalStore\n"
        "from mlctl.files import lock\n"
        "real = lock._take\n"
        "def take(handle):\n"
        "    taken = real(handle)\n"
        "    os.set_inheritable(handle, True)\n"
        "    return taken\n"
        "lock._take = take\n"
        "with LocalStore(pathlib.Path(sys.argv[1])).session('apply'):\n"
        "    child = subprocess.Popen(['sleep', '60'], close_fds=False, stdout=subprocess.DEVNULL)\n"
        "    print(child.pid, flush=True)\n"
        "    os.kill(os.getpid(), 9)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(project.home)], stdout=subprocess.PIPE, text=True, timeout=60, check=False)  # fmt: skip
    assert done.returncode == -9
    try:
        failed = project.run("state", "rm", "datasets.shops", "--auto-approve")
        assert failed.returncode == 6
        assert "is gone from this machine" in failed.stderr
        lock = json.loads((project.home / "lock.json").read_text())["id"]
        assert f"mlctl force-unlock {lock}" in failed.stderr
        unlocked = project.run("force-unlock", lock, "--auto-approve")
        assert unlocked.returncode == 0, unlocked.stderr
        project.heal()
        assert project.objects() == applied.objects()
    finally:
        subprocess.run(["kill", done.stdout.strip()], check=True)


def test_a_clock_that_was_set_back_changes_nothing(applied: Project, tmp_path: Path) -> None:
    """The second apply runs ten days before the first: the order of what was made last does not come from a clock."""
    project = applied.copy(tmp_path / "project")
    (project.root / "data" / "visits.csv").write_text("visit_id,spent\n1,2\n2,5\n")
    program = (
        "import sys, time\n"
        "real, gmtime = time.time, time.gmtime\n"
        "time.time = lambda: real() - 864000\n"
        "time.gmtime = lambda seconds=None: gmtime(time.time() if seconds is None else seconds)\n"
        "from mlctl.cli.main import main\n"
        "sys.argv = ['mlctl', 'apply', '--auto-approve']\n"
        "main()\n"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=project.root, capture_output=True, text=True, timeout=120, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr
    generations = LocalStore(project.home).generations()
    assert generations[0].at < generations[1].at, "the clock was set back"
    assert generations[0].serial > generations[1].serial
    assert project.run("plan", "--detailed-exitcode").returncode == 0
    shown = json.loads(subprocess.run([MLCTL, "state", "show", "datasets.visits", "--json"], cwd=project.root, capture_output=True, text=True, check=True).stdout)  # fmt: skip
    assert shown["provenance"]["at"] == generations[0].at or shown["provenance"]["at"] < generations[1].at
    project.heal()
