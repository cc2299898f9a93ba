"""SIGKILL of an apply with the real tools at the boundaries of its journal: what a tool has done is found, and never done twice."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.project import DRIVER, KILLED
from tests.integration.loop.project import GATE, SERVER, TRAINING, Loop

pytestmark = [pytest.mark.slow, pytest.mark.tools]

# `before-append 2` dies when a tool has done its work and nobody has noted it yet; the other two around the intent and the outcome.
POINTS = {
    "quick": [("before-append", 2)],
    "all": [("before-append", 1), ("after-append", 1), ("before-append", 2), ("after-append", 2)],
}[os.environ.get("MLCTL_BOUNDARIES", "quick")]


@pytest.fixture
def loop(tmp_path: Path) -> Iterator[Loop]:
    """The quickstart's project on a small shop; nothing is applied yet."""
    made = Loop.make(tmp_path / "project")
    try:
        yield made
    finally:
        made.close()


def killed(loop: Loop, point: str, number: int) -> bool:
    """Apply, and be killed at a line of the journal. False when there was no such line any more."""
    command = [sys.executable, DRIVER, point, str(number), "apply", "--auto-approve", "--parallelism", "1"]
    done = subprocess.run(command, cwd=loop.root, capture_output=True, stdin=subprocess.DEVNULL, timeout=300)
    assert done.returncode in (0, KILLED), done.stderr
    return done.returncode == KILLED


@pytest.mark.soak
def test_each_object_is_made_once_however_often_its_apply_is_killed_around_its_journal_lines(loop: Loop) -> None:
    kills = 0
    for _ in range(
        40
    ):  # each apply gets one object further: two lines, and the next one dies at those of the next object
        reached = [killed(loop, point, number) for point, number in POINTS]
        kills += sum(reached)
        if not all(reached):
            break
        unfinished = _unfinished(loop)
        if unfinished:  # by itself: whatever hangs on it is for the next round
            loop.apply("--target", unfinished)
    else:
        pytest.fail("it never came to an end")
    assert kills >= 11 * len(POINTS)  # as many as the project has objects that a tool makes
    assert loop.plan().exit_code == 0
    assert (loop.versions(), loop.served_version()) == (["1"], "1")
    assert [status for _, status in loop.runs(TRAINING)] == ["FINISHED"]
    epochs = loop.sql("SELECT step, count(*) FROM metrics WHERE key = 'val_loss' GROUP BY step ORDER BY step")
    assert epochs == [(epoch, 1) for epoch in range(1, 13)]
    assert loop.show(GATE)["gate"]["passed"]
    assert [SERVER in " ".join(process.cmdline()) for process in loop.processes()] == [True]


def _unfinished(loop: Loop) -> str:
    """The address that the state holds a cut-off object of, or nothing."""
    lines = loop.run("state", "list", "--json").lines
    return next((line["key"].partition("#")[0] for line in lines if line["pending"]), "")
