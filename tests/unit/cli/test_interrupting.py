"""Ctrl-C on a terminal: a question while the steps go on, and a second one that ends them."""

from __future__ import annotations

import json
import os
import pty
import select
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.runs import Runs
from mlctl.engine.store import LocalStore
from mlctl.types.diagnostic import ExitCode
from tests.unit.cli.test_running import PATIENCE_SECONDS, Process, start


@dataclass
class Terminal:
    """A command on a terminal of its own: what it shows, what is typed."""

    process: Any
    handle: int
    shown: str = ""

    def until(self, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self.shown.count(text) < times:
            assert time.monotonic() < deadline, f"waited in vain for {text!r} in {self.shown!r}"
            self._read()

    def type(self, text: str) -> None:
        os.write(self.handle, text.encode())

    def end(self, seconds: float = PATIENCE_SECONDS) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, f"it does not end: {self.shown!r}"
            self._read()
        return int(self.process.wait())

    def _read(self) -> None:
        ready, _, _ = select.select([self.handle], [], [], 0.05)
        if ready:
            try:
                self.shown += os.read(self.handle, 65536).decode(errors="replace")
            except OSError:  # the other side is closed
                time.sleep(0.05)


def on_a_terminal(project: Path, behaviour: str, *arguments: str) -> Iterator[Terminal]:
    """The command as the foreground of a terminal, so that a typed Ctrl-C is its signal."""
    handle, inside = pty.openpty()

    def lead() -> None:
        os.setsid()
        import fcntl
        import termios

        fcntl.ioctl(0, termios.TIOCSCTTY, 0)

    process: Process
    with start(project, behaviour, *arguments, stdin=inside, stdout=inside, stderr=inside, preexec_fn=lead) as process:
        os.close(inside)
        yield Terminal(process, handle)
    os.close(handle)


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "mlctl.yaml").write_text("project: test\nbuilds:\n  a: {value: 2}\n  b: {value: 2, uses_builds: [a]}\n")
    return tmp_path


@pytest.fixture
def waiting(project: Path) -> Iterator[Terminal]:
    """An apply that was approved and whose first step goes on until it is asked to stop."""
    for terminal in on_a_terminal(project, "waits", "apply"):
        terminal.until("Only `yes` goes on")
        terminal.type("yes\n")
        terminal.until("epoch 1")
        yield terminal


def test_the_first_ctrl_c_asks_and_stops_nothing(waiting: Terminal) -> None:
    waiting.type("\x03")
    waiting.until("[d]etach / [s]top at the next checkpoint / [k]ill / [c]ontinue?")
    waiting.type("x\n")
    waiting.until("[c]ontinue?", times=2)
    waiting.type("c\n")
    time.sleep(0.3)
    assert waiting.process.poll() is None
    waiting.type("\x03")  # and it can be asked again
    waiting.until("[c]ontinue?", times=3)
    waiting.type("s\n")
    assert waiting.end() == ExitCode.INTERRUPTED
    assert "Go on with: mlctl" in waiting.shown


def test_a_second_ctrl_c_ends_what_does_not_listen(project: Path) -> None:
    for terminal in on_a_terminal(project, "hangs", "apply", "-y"):
        terminal.until("epoch 1")
        terminal.type("\x03")
        terminal.until("[c]ontinue?")
        terminal.type("\x03")
        assert terminal.end(25) == ExitCode.INTERRUPTED
    with LocalStore(project / ".mlctl" / "default").session("test") as session:  # the lock is free, the intent is known
        assert [str(record.key.address) for record in session.ledger if not record.complete] == ["builds.a"]
    (run,) = Runs(project / ".mlctl" / "default").kept()
    assert (run.running, run.read().exit_code) == (False, ExitCode.INTERRUPTED)


def test_a_kill_ends_the_steps_at_once(waiting: Terminal) -> None:
    waiting.type("\x03")
    waiting.until("[c]ontinue?")
    waiting.type("k\n")
    assert waiting.end(8) == ExitCode.INTERRUPTED


def test_a_terminal_that_goes_away_ends_an_apply_as_sigterm_does(project: Path) -> None:
    for terminal in on_a_terminal(project, "waits", "apply", "-y"):
        terminal.until("epoch 1")
        nowhere = os.open(os.devnull, os.O_RDWR)
        os.dup2(nowhere, terminal.handle)  # closes the only other end of it
        os.close(nowhere)
        assert terminal.process.wait(PATIENCE_SECONDS) == ExitCode.INTERRUPTED
    (run,) = Runs(project / ".mlctl" / "default").kept()
    assert (run.running, run.read().exit_code) == (False, ExitCode.INTERRUPTED)
    assert run.read().counts["skipped"] == 1
    assert not list(project.glob("mlctl-bug-*"))


def test_without_a_terminal_nobody_is_asked(project: Path) -> None:
    process = start(project, "waits", "apply", "-y")
    journal = project / ".mlctl" / "default" / "journal.jsonl"
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not journal.exists() or journal.read_bytes().count(b"\n") < 2:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED
    assert b"trainings go on alone" in err
    assert b"[d]etach" not in err


def test_a_cancel_stops_a_run_of_somebody_else_and_says_what_was_kept(project: Path) -> None:
    process = start(project, "waits", "apply", "-y")
    runs = Runs(project / ".mlctl" / "default")
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not runs.running() or runs.running()[0].read().phase != "applying":
        assert time.monotonic() < deadline
        time.sleep(0.01)
    with start(project, "works", "cancel", "--json") as asking:
        out, _ = asking.communicate(timeout=PATIENCE_SECONDS)
    process.communicate(timeout=PATIENCE_SECONDS)
    assert process.returncode == ExitCode.INTERRUPTED
    (line,) = [json.loads(text) for text in out.decode().splitlines()]
    assert (line["type"], line["running"], line["exit_code"]) == ("run", False, ExitCode.INTERRUPTED)
    with start(project, "works", "cancel") as again:
        _, err = again.communicate(timeout=PATIENCE_SECONDS)
    assert b"run.over" in err
