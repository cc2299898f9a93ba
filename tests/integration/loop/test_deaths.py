"""Kills of the server, of a training and of mlctl itself: the next apply heals, resumes or adopts."""

from __future__ import annotations

import json
import os
import random
import re
import signal
import time
from pathlib import Path

import psutil
import pytest

from tests.integration.loop.project import SERVER, TRAINING, Done, Loop, kill, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.tools]

TWIN = "training.twin"
SEED = int(os.environ.get("MLCTL_SEED", "1"))


def test_a_killed_server_is_seen_and_started_again(loop: Loop) -> None:
    served, pid = loop.served_version(), loop.server_pid()
    kill(pid)
    wait_for(lambda: not _alive(pid), "the end of the server")
    assert loop.run("status").exit_code == 1
    assert loop.status()[SERVER]["condition"] == "broken"
    plan = loop.plan()
    assert plan.exit_code == 2
    assert [line["address"] for line in plan.of("drift")] == [SERVER]
    change = plan.planned()[SERVER]
    assert change["reason"] == "broken"
    assert str(pid) in change["detail"]
    assert loop.apply().started() == {SERVER: 1}
    assert loop.served_version() == served
    assert loop.server_pid() != pid
    assert loop.run("status").exit_code == 0


@pytest.mark.soak
def test_a_training_killed_with_mlctl_goes_on_and_ends_as_if_it_had_not_been(loop: Loop) -> None:
    """The twin is the training of the project under another name, so that has to be its result too."""
    text = loop.file.read_text()
    block = re.search(r"  shops_next_week:\n(?:    .*\n)+", text)
    assert block is not None
    loop.file.write_text(text.replace("\nevaluations:", block[0].replace("shops_next_week", "twin") + "\nevaluations:"))
    step = random.Random(SEED).randrange(11, 550)

    process = loop.start("apply", "--auto-approve", "--json", "--target", TWIN)
    _wait_for_step(loop, TWIN, step)
    kill(_program(loop, TWIN))
    process.kill()
    process.wait()
    wait_for(lambda: not loop.workers(), "the end of all ranks")

    change = loop.plan("--target", TWIN).planned()[TWIN]
    saved = _steps(loop, TWIN)[-1]
    assert (change["action"], change["reason"]) == ("resume", "unfinished")
    reached, total = map(int, re.findall(r"\d+", change["detail"]))
    assert reached == saved < total, f"it was through before it was killed (seed {SEED})"
    assert loop.status()[TWIN]["condition"] == "resumable"
    done = loop.apply("--target", TWIN)
    assert done.started() == {TWIN: 1}
    assert _resumed_at(done) == saved

    whole, resumed = loop.show(TRAINING)["outputs"], loop.show(TWIN)["outputs"]
    assert resumed["digest"] == whole["digest"]
    assert resumed["metrics"] == whole["metrics"]
    ((run, status),) = loop.runs(TWIN)
    assert (run, status) == (resumed["run_id"], "FINISHED")
    epochs = loop.sql(f"SELECT step, count(*) FROM metrics WHERE run_uuid = '{run}' AND key = 'val_loss' GROUP BY step")
    assert epochs == [(epoch, 1) for epoch in range(1, 13)]
    assert loop.workers() == []


@pytest.mark.soak
@pytest.mark.contract(14)
def test_a_training_outlives_mlctl_is_adopted_stops_on_ctrl_c_and_goes_on(loop: Loop) -> None:
    served = loop.served_version()
    loop.edit("epochs: 12", "epochs: 60")
    target = ("--target", TRAINING)
    process = loop.start("apply", "--auto-approve", "--json", *target)
    _wait_for_step(loop, TRAINING, 20)
    process.kill()
    process.wait()
    program = _program(loop, TRAINING)
    assert _alive(program)
    change = loop.plan(*target).planned()[TRAINING]
    assert (change["action"], change["reason"]) == ("adopt", "still-running")
    assert loop.status()[TRAINING]["condition"] == "running"

    adopter = loop.start("apply", "--auto-approve", "--json", *target)
    _wait_for_step(loop, TRAINING, _steps(loop, TRAINING)[-1] + 100)
    assert _program(loop, TRAINING) == program
    assert len(_programs(loop)) == 1
    adopter.send_signal(signal.SIGINT)
    stopped = loop.finish(adopter)
    assert stopped.exit_code == 130, stopped
    assert [line["action"] for line in stopped.of("apply_start")] == ["adopt"]
    assert [line["address"] for line in stopped.of("apply_detached")] == [
        TRAINING
    ]  # nobody could be asked: it goes on alone
    assert _alive(program)
    assert loop.run("cancel").exit_code == 0
    assert loop.workers() == []
    ended = json.loads((_folder(loop, TRAINING) / "ranks-ended.json").read_bytes())
    assert ended["status"] == "preempted"
    assert (
        ended["step"] == _steps(loop, TRAINING)[-1] < ended["total"]
    )  # it saved the very step at which it was stopped

    done = loop.apply(*target)
    assert [line["action"] for line in done.of("apply_start")] == ["resume"]
    assert _resumed_at(done) == ended["step"]
    record = loop.show(TRAINING)
    runs = [run for run in loop.runs(TRAINING) if run[0] == record["outputs"]["run_id"]]
    assert runs == [(record["id"], "FINISHED")]
    query = f"SELECT count(*) FROM tags WHERE key = 'mlctl.object' AND value = '{record['key']}'"
    assert loop.sql(query) == [(1,)]
    assert loop.served_version() == served


def _folder(loop: Loop, address: str) -> Path:
    """The folder of the training that is under way."""
    cut_off = [key for key, pending in loop.objects(address).items() if pending is not None]
    keys = cut_off or [loop.show(address)["key"]]
    return loop.home / "objects" / address / keys[0].partition("#")[2]


def _steps(loop: Loop, address: str) -> list[int]:
    """The steps of the checkpoints that a training has now, newest last."""
    return sorted(int(path.stem.partition("-")[2]) for path in (_folder(loop, address) / "checkpoints").glob("step-*.json"))  # fmt: skip


def _wait_for_step(loop: Loop, address: str, step: int) -> None:
    """Wait until the training under way has saved this step or a later one."""
    began = time.time() - 1
    parent = loop.home / "objects" / address

    def found() -> bool:
        paths = list(parent.glob("*/checkpoints/step-*.json"))
        return any(int(path.stem[5:]) >= step for path in paths if _mtime(path) > began)

    wait_for(found, f"step {step} of {address}")


def _mtime(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:  # an older checkpoint that was just dropped
        return 0.0


def _program(loop: Loop, address: str) -> int:
    """The pid of the training program, by its own file."""
    return int(json.loads((_folder(loop, address) / "process.json").read_bytes())["pid"])


def _programs(loop: Loop) -> list[psutil.Process]:
    """The training programs at work, without their ranks."""
    return [process for process in loop.workers() if process.info["cmdline"][2:4] == ["mlctl.runtime", "train"]]


def _alive(pid: int) -> bool:
    return psutil.pid_exists(pid) and bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)


def _resumed_at(done: Done) -> float:
    """The step at which a training said that it goes on."""
    (line,) = [line for line in done.of("apply_progress") if line["message"] == "going on from a checkpoint"]
    return float(line["done"])
