from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest

from mlctl.processes import session

# A leader that starts a child which does not mind SIGTERM, tells its pid, and waits.
FAMILY = """
import signal, subprocess, sys, time
code = "import signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
child.stdout.readline()
print(child.pid, flush=True)
time.sleep(60)
"""


@pytest.fixture
def family() -> tuple[subprocess.Popen[bytes], int, float]:
    began = time.time()
    leader = subprocess.Popen([sys.executable, "-c", FAMILY], stdout=subprocess.PIPE, start_new_session=True)
    assert leader.stdout is not None
    child = int(leader.stdout.readline())
    leader.stdout.close()
    return leader, child, began


def test_nobody_of_a_session_is_left_behind_even_after_its_leader_was_killed(
    family: tuple[subprocess.Popen[bytes], int, float],
) -> None:
    leader, child, began = family
    leader.kill()
    leader.wait()
    assert [process.pid for process in session.members(leader.pid, began)] == [child]
    session.end(leader.pid, began, grace_seconds=0.2)
    assert session.members(leader.pid, began) == []


def test_an_older_process_is_a_stranger(family: tuple[subprocess.Popen[bytes], int, float]) -> None:
    leader, child, began = family
    try:
        assert session.members(leader.pid, time.time() + 60) == []
    finally:
        session.end(leader.pid, began, grace_seconds=0.0)
        leader.wait()
    assert not os.path.exists(f"/proc/{child}") or session.members(leader.pid, began) == []
