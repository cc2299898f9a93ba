"""Jobs with real processes, and what can go wrong around them."""

from __future__ import annotations

import errno
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.files import atomic
from mlctl.files.lock import is_locked
from mlctl.launch import job
from mlctl.processes import worker as processes
from mlctl.provider import Context
from mlctl.testing.harness import make_context
from mlctl.types import job as contract
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.event import Progress
from mlctl.types.interrupt import Manner

PROGRAM = """#!{python}
import json, os, pathlib, signal, sys, time
folder = pathlib.Path(sys.argv[4])
params = json.loads((folder / "job.json").read_text())["params"]
if params.get("stubborn"):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
(folder / "process.json").write_text(json.dumps({{"pid": os.getpid()}}))
time.sleep(params.get("seconds", 0))
(folder / "events.jsonl").write_text(params["events"])
result = {{"status": "done", "outputs": {{"digest": "d"}}, "gate": None, "diagnostics": []}}
(folder / "result.new").write_text(json.dumps(result))
(folder / "result.new").rename(folder / "result.json")
"""
LINE = '{"message": "half", "done": 1, "total": 2, "unit": "rows", "metrics": {}}\n'


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    fake = tmp_path / "python"
    fake.write_text(PROGRAM.format(python=sys.executable))
    fake.chmod(0o700)
    monkeypatch.setattr(processes.sys, "executable", str(fake))
    folder = tmp_path / "job"
    yield folder
    processes.stop(folder, grace_seconds=0)


def watched(tmp_path: Path) -> tuple[Context, list[Progress]]:
    seen: list[Progress] = []
    ctx = make_context(tmp_path)
    return Context(**{**vars(ctx), "progress": seen.append}), seen


def test_progress_comes_through_and_the_result_is_taken(tmp_path: Path, folder: Path) -> None:
    ctx, seen = watched(tmp_path)
    assert job.run("any", {"events": LINE * 2}, folder, ctx).outputs == {"digest": "d"}
    assert [event.done for event in seen] == [1, 1]
    assert job.state(folder) is job.JobState.DONE


def test_a_line_of_progress_that_a_full_disk_cut_does_not_lose_the_job(tmp_path: Path, folder: Path) -> None:
    ctx, seen = watched(tmp_path)
    assert job.run("any", {"events": LINE[:20] + LINE + LINE + '"text"\n'}, folder, ctx).outputs == {"digest": "d"}
    assert [event.message for event in seen] == ["half"]


def test_a_program_that_cannot_be_started_leaves_no_lock(
    tmp_path: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    ctx, _ = watched(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(processes.atomic, "write_json", full)
        with pytest.raises(OSError, match="No space"):
            job.run("any", {"events": ""}, folder, ctx)
    assert not is_locked(folder / contract.LOCK_FILE)
    job.discard(folder)  # would wait for ever for a lock that we hold ourselves
    assert not folder.exists()


@pytest.mark.parametrize(
    "content",
    [b"[" * 100_000, b"5", b"[]", b'{"status": "done", "outputs": {}, "gate": 5, "diagnostics": []}',
     b'{"status": "done", "outputs": {}, "gate": {"passed": "no", "summary": ""}, "diagnostics": []}',
     b'{"status": "done", "outputs": {}, "gate": null, "diagnostics": [5]}'],
    ids=lambda item: item[:60].decode(),
)  # fmt: skip
def test_a_result_that_is_none_is_that_of_a_program_that_died(tmp_path: Path, content: bytes) -> None:
    (tmp_path / contract.JOB_FILE).write_text("{}")
    (tmp_path / contract.RESULT_FILE).write_bytes(content)
    assert job.state(tmp_path) is job.JobState.DEAD


def test_a_job_file_nested_beyond_reading_is_none(tmp_path: Path) -> None:
    (tmp_path / contract.JOB_FILE).write_text("[" * 100_000)
    assert atomic.read_object(tmp_path / contract.JOB_FILE) is None


def ended(manner: Manner, ctx: Context, folder: Path, params: dict[str, Any], *, detachable: bool) -> MlctlError:
    """What a job says that is asked to end as soon as it runs."""

    def ask() -> None:
        while not (folder / contract.PROCESS_FILE).exists():
            time.sleep(0.005)
        ctx.stop.request(manner)

    asking = threading.Thread(target=ask)
    asking.start()
    with pytest.raises(MlctlError) as caught:
        job.run("any", params, folder, ctx, detachable=detachable)
    asking.join()
    assert caught.value.exit_code is ExitCode.INTERRUPTED
    return caught.value


def test_a_job_that_may_goes_on_alone_and_is_joined_later(tmp_path: Path, folder: Path) -> None:
    ctx, _ = watched(tmp_path)
    params = {"events": LINE, "seconds": 0.6}
    assert ended(Manner.DETACH, ctx, folder, params, detachable=True).diagnostics[0].code == "job.detached"
    assert job.state(folder) is job.JobState.RUNNING
    later, seen = watched(tmp_path)
    assert job.run("any", params, folder, later, detachable=True).outputs == {"digest": "d"}
    assert [event.message for event in seen] == ["half"]


def test_one_that_may_not_is_stopped_instead(tmp_path: Path, folder: Path) -> None:
    ctx, _ = watched(tmp_path)
    params = {"events": "", "seconds": 30}
    assert ended(Manner.DETACH, ctx, folder, params, detachable=False).diagnostics[0].code == "job.stopped"
    assert not processes.running(folder)


def test_kill_waits_for_no_grace(tmp_path: Path, folder: Path) -> None:
    ctx, _ = watched(tmp_path)
    started = time.monotonic()
    params = {"events": "", "seconds": 30, "stubborn": True}
    assert ended(Manner.KILL, ctx, folder, params, detachable=True).diagnostics[0].code == "job.stopped"
    assert not processes.running(folder)
    assert time.monotonic() - started < 10


def test_a_stop_can_become_a_kill(tmp_path: Path, folder: Path) -> None:
    ctx, _ = watched(tmp_path)
    timer = threading.Timer(0.6, ctx.stop.request, (Manner.KILL,))
    timer.start()
    params = {"events": "", "seconds": 30, "stubborn": True}
    assert ended(Manner.STOP, ctx, folder, params, detachable=True).diagnostics[0].code == "job.stopped"
    timer.cancel()
    assert not processes.running(folder)
