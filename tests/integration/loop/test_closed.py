"""The loop closes: an alarm is taken up once, trains when there is something new, and survives whatever is killed."""

from __future__ import annotations

import json
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.engine import retraining
from mlctl.files import decisions
from mlctl.files.lock import FileLock
from mlctl.types.decision import Decision
from tests.integration.loop.project import GATE, MLCTL, TRAINING, Loop, wait_for
from tests.integration.loop.shop import write_later_labels

pytestmark = [pytest.mark.slow, pytest.mark.tools]


def alarm(loop: Loop) -> str:
    """What a monitor leaves behind when it asks for a training."""
    done = {"actions": {"retrain": TRAINING}}
    return decisions.keep(
        loop.home, Decision("monitor", "monitors.shops_drift", "alarm", "ks", retraining.now(), outputs=done)
    )


def caused(loop: Loop, cause: str) -> list[Decision]:
    """What a decision led to."""
    return [item for item in decisions.kept(loop.home) if item.cause == cause]


def test_an_alarm_on_unchanged_data_trains_nothing_and_is_taken_up_once(loop: Loop) -> None:
    cause, versions = alarm(loop), loop.versions()
    lock = FileLock(loop.home / retraining.LOCK_FILE)
    assert lock.acquire()
    locked = loop.run("retrain", "--on-alarm", "--auto-approve", "--json")
    lock.release()
    assert locked.exit_code == 6, locked  # two at once do not take up the same alarm
    assert caused(loop, cause) == []

    done = loop.run("retrain", "--on-alarm", "--auto-approve", "--json")
    assert done.exit_code == 0, done
    # other tests of this project may have had something judged anew, which is told beside
    (line,) = [item for item in done.of("retrain") if item["kind"] == "retrain"]
    assert (line["verdict"], done.started()) == ("skipped", {})
    assert "data and spec are those of shops v" in line["rule"]
    (begun,) = caused(loop, cause)
    assert line["id"] in [item.id for item in caused(loop, begun.id)]

    again = loop.run("retrain", "--on-alarm", "--auto-approve", "--json")
    assert (again.exit_code, again.lines) == (0, [{"type": "retrain_idle", "trainings": [TRAINING]}])
    assert loop.versions() == versions


@pytest.mark.soak
def test_a_kill_between_alarm_and_model_loses_nothing_and_trains_once(loop: Loop) -> None:
    cause, before, runs = alarm(loop), loop.show(TRAINING)["key"], len(loop.runs(TRAINING))
    write_later_labels(loop.root / "data")
    command = [MLCTL, "-C", str(loop.root), "retrain", "--on-alarm", "--auto-approve", "--json"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True)
    wait_for(lambda: [item for item in loop.workers() if "train" in item.cmdline()], "the training")
    process.send_signal(signal.SIGKILL)
    process.wait()
    loop.kill_workers()
    assert retraining.read(loop.home) is not None
    assert [item.verdict for item in caused(loop, cause)] == ["begun"]

    done = loop.run("retrain", "--on-alarm", "--auto-approve", "--wait", "--json")
    assert done.exit_code == 0, done
    trained, gate = done.of("retrain")
    assert (trained["verdict"], gate["kind"], gate["address"], gate["cause"]) == (
        "trained",
        "gate",
        GATE,
        trained["id"],
    )
    (begun,) = caused(loop, cause)
    assert trained["cause"] == begun.id
    assert loop.show(TRAINING)["key"] != before
    assert len(loop.runs(TRAINING)) == runs + 1
    assert loop.served_version() == gate["outputs"]["version"]
    assert retraining.read(loop.home) is None
    loop.keep()


@pytest.fixture
def alone(tmp_path: Path) -> Iterator[Path]:
    """A folder in which nothing is at work afterwards, whatever a demonstration has left."""
    folder = tmp_path / "demo"
    yield folder
    left = Loop(folder, 0)
    assert left.processes() == []


@pytest.mark.soak
@pytest.mark.parametrize("bad", [False, True], ids=["promoted", "taken back"])
def test_the_demonstration_closes_the_loop_and_leaves_nothing_running(alone: Path, bad: bool) -> None:
    command = [MLCTL, "demo", "drift", "--folder", str(alone), "--json", *(["--bad"] if bad else [])]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=900)
    finally:
        Loop(alone, 0).close()
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    assert done.returncode == 0, f"{[line for line in lines if line.get('holds') is False]}\n{done.stderr}"
    held = {line["step"] for line in lines if line.get("holds")}
    common = {"apply", "calm", "alarm", "unchanged", "lost", "replay", "end"}
    assert held == common | ({"stopped", "rolled_back", "untouched"} if bad else {"trained", "promoted", "better"})
    (alarmed,) = [line for line in lines if line["step"] == "alarm"]
    assert 0 < alarmed["delay_predictions"] <= 600
    chain = [line for line in lines if line["step"] == "decision"]
    assert all(line["cause"] for line in chain[1:] if "monitor" not in line["text"][:8])
