"""Services with real processes: `sys.executable` is replaced by a small program that takes the same arguments."""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from mlctl.launch import service
from mlctl.processes import service as services
from mlctl.processes import worker as processes
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import ExitCode, MlctlError

PROGRAM = """#!{python}
import json, pathlib, signal, sys, time
program, folder = sys.argv[3], pathlib.Path(sys.argv[4])
params = json.loads((folder / "job.json").read_text())["params"]
print("started", flush=True)
if params.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
if params.get("fails"):
    sys.exit("it did not work")
if not params.get("slow"):
    (folder / "ready.new").write_text(json.dumps({{"url": "here"}}))
    (folder / "ready.new").rename(folder / "ready.json")
time.sleep(60)
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    fake = tmp_path / "python"
    fake.write_text(PROGRAM.format(python=sys.executable))
    fake.chmod(0o700)
    monkeypatch.setattr(processes.sys, "executable", str(fake))
    folder = tmp_path / "releases" / "1"
    yield folder
    processes.stop(folder, grace_seconds=0)


def test_it_is_started_found_and_stopped(tmp_path: Path, folder: Path) -> None:
    ctx = make_context(tmp_path)
    assert not services.find(folder).running
    service.start("server", {"number": 1}, folder, ctx)
    assert service.wait_ready(folder, ctx, 10) == {"url": "here"}
    state = services.find(folder)
    assert state.running
    assert state.params == {"number": 1}
    assert state.pid is not None
    process = psutil.Process(state.pid)
    assert os.getsid(state.pid) == state.pid  # a session of its own: it does not get the terminal's Ctrl-C
    service.start("server", {"number": 2}, folder, ctx)  # it runs: nothing happens
    assert services.find(folder).params == {"number": 1}
    processes.stop(folder, grace_seconds=10)
    assert not services.find(folder).running
    assert not process.is_running()
    processes.stop(folder, grace_seconds=10)  # not running is success


def test_a_zombie_does_not_count_as_running(tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = make_context(tmp_path)
    service.start("server", {}, folder, ctx)
    service.wait_ready(folder, ctx, 10)
    pid = services.find(folder).pid
    assert pid is not None
    monkeypatch.setattr(processes, "_children", [])  # nobody waits for it
    os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 10
    while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    state = services.find(folder)
    assert not state.running
    assert state.ready is None
    assert state.epitaph().startswith(f"pid {pid} is gone; it started 20")


def test_a_copied_folder_says_whose_the_process_is(tmp_path: Path, folder: Path) -> None:
    ctx = make_context(tmp_path)
    service.start("server", {}, folder, ctx)
    service.wait_ready(folder, ctx, 10)
    copy = shutil.copytree(folder, tmp_path / "copy")
    state = services.find(copy)
    assert not state.running
    belongs = f"runs, and belongs to `{psutil.Process(state.pid).cwd()}`, of which this folder is a copy"
    assert state.epitaph().startswith(f"pid {state.pid} {belongs}")
    processes.stop(copy, grace_seconds=1)  # which is not its to stop
    assert services.find(folder).running


def test_one_that_ignores_sigterm_is_killed_after_the_grace(tmp_path: Path, folder: Path) -> None:
    ctx = make_context(tmp_path)
    service.start("server", {"stubborn": True}, folder, ctx)
    service.wait_ready(folder, ctx, 10)
    began = time.monotonic()
    processes.stop(folder, grace_seconds=0.3)
    assert 0.3 <= time.monotonic() - began < 5
    assert not services.find(folder).running


def test_stop_waits_for_the_pid_of_one_that_was_just_started(tmp_path: Path, folder: Path) -> None:
    ctx = make_context(tmp_path)
    service.start("server", {}, folder, ctx)
    service.wait_ready(folder, ctx, 10)
    process = folder / "process.json"
    stored = process.read_bytes()
    process.unlink()  # as if the starter had been killed before it wrote it

    def write_later() -> None:
        time.sleep(0.2)
        process.write_bytes(stored)

    import threading

    writer = threading.Thread(target=write_later)
    writer.start()
    processes.stop(folder, grace_seconds=10)
    writer.join()
    assert not services.find(folder).running


def test_failing_late_and_interrupted_starts(tmp_path: Path, folder: Path) -> None:
    ctx = make_context(tmp_path)
    service.start("server", {"fails": True}, folder, ctx)
    with pytest.raises(MlctlError) as raised:
        service.wait_ready(folder, ctx, 10)
    [found] = raised.value.diagnostics
    assert found.code == "service.died"
    assert "it did not work" in found.why

    service.start("server", {"slow": True}, folder, ctx)
    with pytest.raises(MlctlError, match=r"service\.not-ready"):
        service.wait_ready(folder, ctx, 0.3)
    assert not services.find(folder).running

    service.start("server", {"slow": True}, folder, ctx)
    ctx.stop.set()
    with pytest.raises(MlctlError) as raised:
        service.wait_ready(folder, ctx, 10)
    assert raised.value.exit_code is ExitCode.INTERRUPTED
    assert not services.find(folder).running


def test_a_program_that_left_its_diagnostics_is_quoted(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    folder = tmp_path / "releases" / "1"
    service.start("no-such-program", {}, folder, ctx)
    with pytest.raises(MlctlError, match=r"job\.failed"):
        service.wait_ready(folder, ctx, 20)
    assert json.loads((folder / "result.json").read_bytes())["status"] == "failed"
