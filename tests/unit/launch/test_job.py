"""Jobs with real processes, and what can go wrong around them."""

from __future__ import annotations

import errno
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from mlctl.files.lock import is_locked
from mlctl.launch import job
from mlctl.launch import process as processes
from mlctl.provider import Context
from mlctl.testing.harness import make_context
from mlctl.types import job as contract
from mlctl.types.event import Progress

PROGRAM = """#!{python}
import json, pathlib, sys
folder = pathlib.Path(sys.argv[4])
params = json.loads((folder / "job.json").read_text())["params"]
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
