"""Runs: a folder each, told apart by a lock whether they live, and only the newest are kept."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from mlctl.engine import runs as module
from mlctl.engine.runs import Runs, fetch, share
from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.store import LocalStore
from mlctl.types.change import Plan
from mlctl.types.diagnostic import MlctlError

SAVED = SavedPlan("apply", Plan((), "", 0, ""), "p", "mlctl.yaml", {}, {}, {}, {}, {}, "0.1.0", "", "")


def test_a_run_is_at_work_until_its_lock_is_free(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    run = runs.begin("apply", SAVED)
    assert run.running
    assert Runs(tmp_path).find(run.id).running
    run.update(exit_code=0, phase="ended")
    run.let_go()
    assert not Runs(tmp_path).find(run.id).running
    assert runs.find(None).read().exit_code == 0
    assert all(path.stat().st_mode & 0o077 == 0 for path in run.path.iterdir())


def test_of_several_runs_at_work_one_has_to_be_named(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    first, second = runs.begin("apply", SAVED), runs.begin("apply", SAVED)
    with pytest.raises(MlctlError) as refused:
        runs.find(None, running=True)
    (told,) = refused.value.diagnostics
    assert (told.code, first.id in told.fix, second.id in told.fix) == ("run.ambiguous", True, True)
    assert runs.find(second.id, running=True).id == second.id
    first.let_go()
    assert runs.find(None, running=True).id == second.id
    second.let_go()


def test_a_killed_run_is_seen_to_be_over(tmp_path: Path) -> None:
    program = (
        "import os, sys; from pathlib import Path; from tests.unit.engine.test_runs import SAVED; "
        "from mlctl.engine.runs import Runs; Runs(Path(sys.argv[1])).begin('apply', SAVED); os.kill(os.getpid(), 9)"
    )
    root = Path(__file__).parents[3]
    subprocess.run([sys.executable, "-c", program, str(tmp_path)], cwd=root, check=False)
    (run,) = Runs(tmp_path).kept()
    assert (run.running, run.read().exit_code, run.summary()["running"]) == (False, None, False)


def test_a_lock_that_was_handed_on_lives_with_the_one_who_got_it(tmp_path: Path) -> None:
    run = Runs(tmp_path).begin("apply", SAVED)
    program = "import sys; sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, pass_fds=(run.handle,))
    run.let_go()
    assert run.running
    child.communicate()
    assert not run.running


def test_a_supervisor_takes_over_what_came_down_to_it(tmp_path: Path) -> None:
    run = Runs(tmp_path).begin("apply", SAVED)
    other = Runs(tmp_path).find(run.id)
    other.take_over(os.dup(run.handle))
    run.let_go()
    assert other.held
    assert Runs(tmp_path).running()[0].id == run.id
    other.let_go()
    assert Runs(tmp_path).running() == []


def test_the_newest_are_kept_and_those_at_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "KEPT", 3)
    runs = Runs(tmp_path)
    first = runs.begin("apply", SAVED)
    ids = []
    for _ in range(5):
        run = runs.begin("apply", SAVED)
        ids.append(run.id)
        run.let_go()
    assert [run.id for run in runs.kept()] == [*ids[:-5:-1], first.id]  # the one that was begun last is not counted
    assert len({first.id, *ids}) == 6


def test_ids_grow_when_they_would_meet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module.secrets, "token_hex", lambda count: "abcdef"[:count].ljust(2 * count, "0"))
    runs = Runs(tmp_path)
    assert [runs.begin("apply", SAVED).id for _ in range(3)] == ["abcd", "abcde", "abcdef"]


def test_events_are_whole_lines_whatever_is_in_them(tmp_path: Path) -> None:
    run = Runs(tmp_path).begin("apply", SAVED)
    run.tell({"type": "a", "text": "two\nlines \ud800"})
    run.tell({"type": "b"})
    assert run.events_path.read_bytes().count(b"\n") == 2


def test_an_unknown_run_is_named_with_the_nearest(tmp_path: Path) -> None:
    runs = Runs(tmp_path)
    with pytest.raises(MlctlError, match=r"run\.none"):
        runs.find(None)
    run = runs.begin("apply", SAVED)
    with pytest.raises(MlctlError) as error:
        runs.find(run.id[:-1] + ("0" if run.id[-1] != "0" else "1"))
    assert run.id in error.value.diagnostics[0].fix


def test_what_a_cancel_asks_for_is_read_by_the_one_it_asks(tmp_path: Path) -> None:
    run = Runs(tmp_path).begin("apply", SAVED)
    assert run.asked() is None
    run.ask("stop")
    assert Runs(tmp_path).find(run.id).asked() == "stop"
    (run.path / "cancel.json").write_text('{"manner": "explode"}')
    assert run.asked() is None


def test_history_is_shared_beside_the_state(tmp_path: Path) -> None:
    """Here the place beside the state is a folder; with a bucket it is the same documents."""
    store = LocalStore(tmp_path / "shared")
    mine, yours = Runs(tmp_path / "mine"), Runs(tmp_path / "yours")
    ids = []
    for number in range(3):
        run = mine.begin("apply", SAVED, why=f"number {number}")
        run.update(exit_code=0, since=f"2026-01-0{number + 1}T00:00:00Z")
        run.let_go()
        share(run, store)
        ids.append(run.id)
    fetch(yours, store)
    fetch(yours, store)
    assert [run.id for run in yours.kept()] == ids[::-1]
    assert yours.kept()[0].read() == mine.find(ids[-1]).read()
    assert yours.kept()[0].saved() == SAVED
    assert not yours.running()


@pytest.mark.parametrize(
    "damaged",
    [b"", b"garbage", b"[]", b"{}", b'{"run": {"since": "x"}, "plan": {}}', b'{"run": 7, "plan": {}}', b"[" * 90_000],
)
def test_a_damaged_run_beside_the_state_hides_no_other(tmp_path: Path, damaged: bytes) -> None:
    store, mine, yours = LocalStore(tmp_path / "state"), Runs(tmp_path / "mine"), Runs(tmp_path / "yours")
    run = mine.begin("apply", SAVED)
    share(run, store)
    run.let_go()
    store.put_document("runs/2020-01-01T000000Z-beef.json", damaged)
    fetch(yours, store)
    assert [found.id for found in yours.kept()] == [run.id]
    assert [path.name for path in yours.folder.iterdir()] == [run.id]
