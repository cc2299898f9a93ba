"""The event log: what is in it is whole, in order, and there for good."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from mlctl.files import event_log
from mlctl.runtime.stream import log as log_module
from mlctl.runtime.stream.log import EventLog, dead_letter
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.stream import DEAD_LETTERS, SEQUENCE


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for path in event_log.segments(folder) for line in path.read_text().splitlines()]


def test_events_are_numbered_in_the_order_they_came(tmp_path: Path) -> None:
    log = EventLog(tmp_path / "log")
    log.append([{"id": 5}, {"id": 3}])
    log.append([])
    log.append([{"id": 5}])
    assert [(item[SEQUENCE], item["id"]) for item in lines(tmp_path / "log")] == [(1, 5), (2, 3), (3, 5)]
    assert event_log.count(tmp_path / "log") == log.sequence == 3
    assert event_log.segments(tmp_path / "log")[0].stat().st_mode & 0o777 == 0o600


def test_a_line_that_a_kill_cut_off_is_taken_away(tmp_path: Path) -> None:
    log = EventLog(tmp_path)
    log.append([{"id": 1}, {"id": 2}])
    log.close()
    whole = event_log.segment(tmp_path, 1).read_bytes()
    for torn in (b"{", b'{"mlctl_sequence": 3, "id": 3}', b"x" * 200_000):
        event_log.segment(tmp_path, 1).write_bytes(whole + torn)
        assert event_log.count(tmp_path) == 2
        again = EventLog(tmp_path)
        assert again.sequence == 2
        again.close()
        assert event_log.segment(tmp_path, 1).read_bytes() == whole


def test_a_log_that_a_kill_left_empty_begins_at_one(tmp_path: Path) -> None:
    event_log.segment(tmp_path, 1).write_bytes(b'{"mlctl_seq')
    log = EventLog(tmp_path)
    log.append([{"id": 1}])
    assert [item[SEQUENCE] for item in lines(tmp_path)] == [1]


def test_a_full_file_is_followed_by_another_and_the_numbers_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(log_module, "_SEGMENT_BYTES", 100)
    log = EventLog(tmp_path)
    for number in range(20):
        log.append([{"id": number}])
    log.close()
    assert len(event_log.segments(tmp_path)) > 3
    assert [item[SEQUENCE] for item in lines(tmp_path)] == list(range(1, 21))
    again = EventLog(tmp_path)
    again.append([{"id": 20}])
    assert lines(tmp_path)[-1] == {SEQUENCE: 21, "id": 20}


def test_a_disk_that_takes_only_a_part_gets_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path)
    log.append([{"id": 1}])
    write, calls = os.write, iter([10])

    def full(handle: int, data: bytes) -> int:
        for size in calls:
            return write(handle, data[:size])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with pytest.raises(OSError, match="No space"):
        log.append([{"id": 2}, {"id": 3}])
    monkeypatch.undo()
    log.append([{"id": 2}])
    assert [(item[SEQUENCE], item["id"]) for item in lines(tmp_path)] == [(1, 1), (2, 2)]


def test_two_workers_do_not_write_one_log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_module, "_LOCK_SECONDS", 0.1)
    first = EventLog(tmp_path)
    with pytest.raises(MlctlError) as raised:
        EventLog(tmp_path)
    assert raised.value.diagnostics[0].code == "stream.log-taken"
    first.close()
    EventLog(tmp_path).close()


def test_dead_letters_are_kept_with_the_reason_and_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = EventLog(tmp_path)
    log.bury([dead_letter(b"\xffx", "it is not JSON", "2026-01-01")])
    assert json.loads((tmp_path / DEAD_LETTERS).read_text()) == {
        "at": "2026-01-01", "reason": "it is not JSON", "body": "\\xffx",
    }  # fmt: skip
    monkeypatch.setattr(log_module, "_DEAD_LETTER_BYTES", 10)
    log.bury([dead_letter(b"y" * 50_000, "why", "now")])
    assert sorted(path.name for path in tmp_path.iterdir()) == [DEAD_LETTERS, f"{DEAD_LETTERS}.1", "lock"]
    assert (tmp_path / DEAD_LETTERS).stat().st_size < 11_000


def test_what_is_asked_of_a_log_is_what_it_holds_then(tmp_path: Path) -> None:
    event_log.ask(tmp_path / "none")
    assert event_log.asked(tmp_path / "none") == event_log.count(tmp_path / "none") == 0
    log = EventLog(tmp_path)
    log.append([{"id": 1}, {"id": 2}])
    event_log.ask(tmp_path)
    log.append([{"id": 3}])
    assert event_log.asked(tmp_path) == 2
