"""What mlctl says to a controller is heard, and when all is to end nobody is left, whatever became of the files."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from mlctl.files.lock import FileLock
from mlctl.provider import Context
from mlctl.providers.serving import controllers, gatewayed
from mlctl.rollout.state import RolloutState, to_json
from mlctl.types import job as contract
from mlctl.types.secret import Secrets
from tests.rollouts.world import World, canary, revision


def test_what_is_wanted_has_a_larger_serial_than_what_the_controller_took_also_when_its_file_was_lost(
    tmp_path: Path,
) -> None:
    ctx = cast("Context", SimpleNamespace(secrets=Secrets()))
    wanted = World(tmp_path).wanted(revision("1"), canary())
    folder = tmp_path / "rollout"
    assert [controllers.tell_wanted(wanted, folder, ctx) for _ in range(2)] == [1, 1]
    (folder / "rollout.json").write_text(json.dumps({"state": to_json(RolloutState(serial=7))}))
    for torn in (None, '{"serial": 7, "depl'):
        (folder / "wanted.json").unlink() if torn is None else (folder / "wanted.json").write_text(torn)
        assert controllers.tell_wanted(wanted, folder, ctx) == 8


def test_a_gateway_is_ended_also_when_no_controller_can_do_it(tmp_path: Path) -> None:
    for name in ("gateway/envoy", "releases/1"):
        (tmp_path / "rollout" / name).mkdir(parents=True)
    started = [_locked(tmp_path / "rollout" / name) for name in ("gateway/envoy", "releases/1")]
    try:
        controllers.end(tmp_path / "rollout", "churn", 0.0, cast("Context", SimpleNamespace(root=tmp_path)))
        assert all(process.wait(5) < 0 for process in started)
        assert not (tmp_path / "rollout").exists()
    finally:
        for process in started:
            process.kill()
            process.wait()


def test_a_destroy_that_was_killed_does_not_end_what_is_wanted_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[bool] = []
    monkeypatch.setattr(controllers, "have_running", lambda *_: started.append((tmp_path / "end.json").exists()))
    monkeypatch.setattr(gatewayed, "await_settled", lambda *_: None)
    (tmp_path / "end.json").write_text('{"drain_seconds": 0.0}')
    ending = _locked(tmp_path)
    try:
        wanted = World(tmp_path).wanted(revision("1"), canary())
        gatewayed.converge(wanted, tmp_path, cast("Context", SimpleNamespace(secrets=Secrets())))
        assert (ending.wait(5), started) == (-signal.SIGTERM, [False])
    finally:
        ending.kill()
        ending.wait()


def _locked(folder: Path) -> subprocess.Popen[Any]:
    """A process that holds the lock of a worker's folder."""
    lock = FileLock(folder / contract.LOCK_FILE)
    assert lock.acquire()
    process = subprocess.Popen(["sleep", "60"], start_new_session=True, pass_fds=(lock.handle,))
    (folder / contract.PROCESS_FILE).write_text(json.dumps({"pid": process.pid}))
    lock.release()
    return process
