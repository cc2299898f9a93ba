"""What `mlctl destroy` leaves behind. It is the last test of the folder: it takes the project apart."""

from __future__ import annotations

import hashlib
import sqlite3
from contextlib import closing

import pytest

from tests.integration.loop.project import Loop, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.tools]


def test_destroy_leaves_the_data_and_the_prediction_log_and_nothing_that_runs(loop: Loop) -> None:
    loop.predict({"household_id": 1})
    data = {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (loop.root / "data").iterdir()}
    wait_for(lambda: list(loop.home.rglob("predictions/*.jsonl")), "the prediction log")
    logs = {path.name: path.stat().st_size for path in loop.home.rglob("predictions/*.jsonl")}
    done = loop.run("destroy", "--auto-approve", "--json")
    assert done.exit_code == 0, done
    assert loop.processes() == []
    assert loop.run("state", "list").output == ""
    assert loop.sql("SELECT name FROM registered_models") == []
    assert loop.sql("SELECT alias FROM registered_model_aliases") == []
    assert loop.sql("SELECT run_uuid FROM runs WHERE lifecycle_stage = 'active'") == []
    left = [path for path in (loop.home / "objects").rglob("*") if path.is_file()]
    assert {path.name for path in left} == logs.keys()
    assert all(path.stat().st_size >= logs[path.name] for path in left)
    assert list((loop.home / "features" / "offline").iterdir()) == []
    with closing(sqlite3.connect(loop.home / "features" / "online.db")) as online:
        assert online.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall() == []
    assert b"shopping" not in (loop.home / "features" / "registry.db").read_bytes()
    assert {path: hashlib.sha256(path.read_bytes()).hexdigest() for path in (loop.root / "data").iterdir()} == data
    again = loop.run("destroy", "--auto-approve", "--json")
    assert again.exit_code == 0, again
