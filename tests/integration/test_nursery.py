"""What is born in a nursery is a process like any other, and ends with it."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.nursery import Born, Nursery, commands

SLEEP = "import time; print('here', flush=True); time.sleep(600)"


def test_it_has_its_own_arguments_folder_environment_and_exit_code(tmp_path: Path) -> None:
    (tmp_path / "told.py").write_text(
        "import os, sys; print(sys.argv[1:], os.getcwd(), os.environ['WHO'], 'HOME' in os.environ); sys.exit(7)"
    )
    born = commands().start("told", "a", "b c", environment={"WHO": "me"}, folder=tmp_path)
    assert born.communicate(30) == (f"['a', 'b c'] {tmp_path} me False\n", None)
    assert born.returncode == 7


def test_an_error_is_told_as_python_tells_it(tmp_path: Path) -> None:
    born = commands().python("raise ValueError('so')", environment=os.environ, folder=tmp_path)
    assert born.communicate(30)[0].endswith("ValueError: so\n")
    assert born.returncode == 1


def test_what_cannot_begin_has_failed(tmp_path: Path) -> None:
    born = commands().python("print('here')", environment=os.environ, folder=tmp_path / "nowhere")
    assert born.wait(30) == 1
    assert commands().python("print('here')", environment=os.environ, folder=tmp_path).communicate(30)[0] == "here\n"


def test_it_leads_a_session_shows_its_command_line_and_can_be_killed(tmp_path: Path) -> None:
    born = commands().start("time", "x y", environment=os.environ, folder=tmp_path, before=SLEEP)
    process = psutil.Process(born.pid)
    assert _soon(lambda: [word for word in process.cmdline() if word][-2:] == ["time", "x y"])
    assert os.getsid(born.pid) == born.pid
    assert born.poll() is None
    os.killpg(born.pid, signal.SIGKILL)
    assert born.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("end", ["close", "kill"])
def test_nothing_outlives_the_nursery(tmp_path: Path, end: str) -> None:
    nursery = Nursery("json")
    born = nursery.start("", environment=os.environ, folder=tmp_path, before=SLEEP, ranks=2)
    ranks = psutil.Process(born.pid)
    assert _soon(lambda: len(ranks.children()) == 2)
    both = [ranks, *ranks.children()]
    if end == "kill":
        nursery._process.kill()
    nursery.close()
    assert _soon(lambda: not any(_lives(item) for item in both))


def test_one_that_has_just_ended_is_killed_without_an_error(tmp_path: Path) -> None:
    ended = subprocess.Popen(["true"])
    ended.wait()
    Born(ended.pid, ["true"], tmp_path / "not noted yet", None).kill()


def test_nobody_waits_for_a_nursery_that_was_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.nursery._NOTING_SECONDS", 0.2)
    nursery = Nursery("json")
    born = nursery.start("", environment=os.environ, folder=tmp_path, before=SLEEP)
    nursery._process.kill()
    nursery._process.wait()
    with pytest.raises(RuntimeError, match="the nursery has ended"):
        born.wait()
    nursery.close()


def test_a_rank_that_fails_ends_the_others(tmp_path: Path) -> None:
    code = "import os, sys, time; print(os.environ['RANK'], os.environ['WORLD_SIZE'], flush=True); os.environ['RANK'] == '1' and sys.exit(3); time.sleep(600)"
    born = commands().start("", environment=os.environ, folder=tmp_path, before=code, ranks=3)
    assert born.wait(30) == 1


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _soon(condition: object) -> bool:
    deadline = time.monotonic() + 20
    while not condition():  # type: ignore[operator]
        if time.monotonic() > deadline:
            return False
        time.sleep(0.02)
    return True
