from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.middleware import log
from mlctl.runtime.middleware.log import PredictionWriter


def row(number: int, day: str = "2026-03-01") -> dict[str, Any]:
    return {"ts": f"{day}T12:00:00+00:00", "request_id": f"r{number}", "score": 0.5}


def test_rows_go_to_the_file_of_their_day_in_order(tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path / "predictions", lambda _: None)
    for number in range(50):
        writer.write(row(number, "2026-03-01" if number < 30 else "2026-03-02"))
    writer.close()
    found = {
        path.name: [json.loads(line)["request_id"] for line in path.read_text().splitlines()]
        for path in (tmp_path / "predictions").iterdir()
    }
    assert found == {
        "2026-03-01.jsonl": [f"r{number}" for number in range(30)],
        "2026-03-02.jsonl": [f"r{number}" for number in range(30, 50)],
    }


def test_rows_are_on_disk_within_a_second_also_under_a_steady_stream(tmp_path: Path) -> None:
    writer = PredictionWriter(tmp_path, lambda _: None)
    began = time.monotonic()
    number = 0
    while not (tmp_path / "2026-03-01.jsonl").exists():
        writer.write(row(number))
        number += 1
        time.sleep(0.002)
        assert time.monotonic() - began < 5.0  # one that waits for a pause would never write
    writer.close()
    assert len((tmp_path / "2026-03-01.jsonl").read_text().splitlines()) == number


def test_a_torn_last_line_stays_alone(tmp_path: Path) -> None:
    path = tmp_path / "2026-03-01.jsonl"
    path.write_text('{"request_id": "whole"}\n{"request_id": "to')
    writer = PredictionWriter(tmp_path, lambda _: None)
    writer.write(row(1))
    writer.close()
    whole, torn, new = path.read_text().splitlines()
    assert torn == '{"request_id": "to'
    assert (json.loads(whole)["request_id"], json.loads(new)["request_id"]) == ("whole", "r1")


def test_what_cannot_be_kept_is_counted_and_never_blocks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dropped: list[int] = []
    held = threading.Event()
    real = log._torn

    def stuck(handle: int) -> bool:
        held.wait(5)
        return real(handle)

    monkeypatch.setattr(log, "_torn", stuck)
    monkeypatch.setattr(log, "_FLUSH_SECONDS", 0.0)
    writer = PredictionWriter(tmp_path, dropped.append, capacity=4)
    for number in range(20):
        writer.write(row(number))
    held.set()
    writer.close()
    kept = len((tmp_path / "2026-03-01.jsonl").read_text().splitlines())
    assert kept + sum(dropped) == 20
    assert sum(dropped) >= 14  # four wait, and one or two are at the disk


def test_a_folder_that_cannot_be_written_costs_rows_and_not_the_server(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dropped: list[int] = []
    writer = PredictionWriter(tmp_path / "p", dropped.append)
    (tmp_path / "p").rmdir()
    writer.write(row(1))
    writer.write({**row(2), "score": float("nan")})  # JSON has no NaN
    writer.close()
    assert sum(dropped) == 2
    assert "cannot be written" in capsys.readouterr().out


def test_days_that_are_longer_ago_than_asked_are_removed_when_a_day_begins(tmp_path: Path) -> None:
    for name in ("2026-01-30.jsonl", "2026-02-27.jsonl", "2026-02-28.jsonl", "notes.txt"):
        (tmp_path / name).write_text("{}\n")
    writer = PredictionWriter(tmp_path, lambda _: None, keep_days=1)
    writer.write(row(1, "2026-03-01"))
    writer.close()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2026-02-28.jsonl", "2026-03-01.jsonl", "notes.txt"]
    writer = PredictionWriter(tmp_path, lambda _: None, keep_days=1)
    writer.write(row(2, "2026-03-01"))
    writer.write(row(3, "2026-03-02"))
    writer.write(row(4, "2026-03-01"))  # begun before midnight, and written after it
    writer.close()
    assert sorted(path.name for path in tmp_path.glob("*.jsonl")) == ["2026-03-01.jsonl", "2026-03-02.jsonl"]


def test_without_a_limit_everything_is_kept(tmp_path: Path) -> None:
    (tmp_path / "2001-01-01.jsonl").write_text("{}\n")
    writer = PredictionWriter(tmp_path, lambda _: None)
    writer.write(row(1))
    writer.close()
    assert (tmp_path / "2001-01-01.jsonl").exists()
