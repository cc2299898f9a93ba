"""Whoever takes rewards is killed while they come: what was answered is counted, and counted once."""

from __future__ import annotations

import json
import random
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime
from http.client import HTTPConnection, HTTPException
from pathlib import Path

import pytest

from mlctl.processes.environment import worker_environment
from mlctl.runtime.controller.ledger import Ledger

PROGRAM = """
import sys, time
from pathlib import Path
from mlctl.runtime.controller.ledger import Ledger
from mlctl.runtime.controller.rewards import Rewards
root = Path(sys.argv[1])
rewards = Rewards(lambda: Ledger(root / "rewards", lambda: [root / "log"], 86_400.0), "binary", 0)
print(rewards.port, flush=True)
time.sleep(60)
"""
REQUESTS, KILLS = 3000, 3


def log(folder: Path) -> None:
    now = datetime.now(UTC)
    folder.mkdir()
    with (folder / f"{now:%Y-%m-%d}.jsonl").open("w") as stream:
        for number in range(REQUESTS):
            line = {
                "ts": now.isoformat(), "request_id": f"r{number}", "role": "stable", "variant": "ab"[number % 2],
                "version": "1", "propensity": 0.5,
            }  # fmt: skip
            stream.write(json.dumps(line) + "\n")


def send(port: int, names: list[str], seconds: float) -> set[str]:
    """Rewards one after the other until the receiver is gone; those that were answered."""
    answered: set[str] = set()
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    deadline = time.monotonic() + seconds
    try:
        while names and time.monotonic() < deadline:
            connection.request("POST", "/rewards", json.dumps({"request_id": names[-1], "reward": 1}))
            response = connection.getresponse()
            response.read()
            assert response.status in (200, 202)
            answered.add(names.pop())
    except (OSError, HTTPException):
        pass  # killed: nobody knows of the last one, which is sent again
    finally:
        connection.close()
    return answered


@pytest.mark.tools
def test_kills_lose_no_reward_and_count_none_twice(tmp_path: Path) -> None:
    log(tmp_path / "log")
    chance = random.Random(4)
    names = [f"r{number}" for number in range(REQUESTS)]
    answered: set[str] = set()
    for _ in range(KILLS):
        with subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(tmp_path)], stdout=subprocess.PIPE, text=True, env=worker_environment()
        ) as taker:
            try:
                assert taker.stdout is not None
                port = int(taker.stdout.readline())
                killer = subprocess.Popen(["sh", "-c", f"sleep {chance.uniform(0.2, 0.6)}; kill -9 {taker.pid}"])
                answered |= send(port, names, 10)
                killer.wait(10)
            finally:
                taker.send_signal(signal.SIGKILL)
    assert 10 < len(answered) < REQUESTS
    ledger = Ledger(tmp_path / "rewards", lambda: [tmp_path / "log"], 86_400.0)
    try:
        ledger.update(time.time())
        counted = ledger.counted()
        assert counted["waiting"] == counted["unknown"] == 0
        rows = ledger._database.execute("SELECT id FROM rewards WHERE state = 'matched'").fetchall()
        found = {name for (name,) in rows}
        assert answered <= found
        assert len(found - answered) <= KILLS  # taken, and killed before the answer
        sums = ledger.by_version()
        assert sum(arm.number for arm in sums.values()) == len(found) == counted["matched"]
        assert sum(arm.total for arm in sums.values()) == len(found)
    finally:
        ledger.close()
