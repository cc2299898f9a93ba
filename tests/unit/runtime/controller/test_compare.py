"""Copies are compared once each, by what the logs say, however they grow and whoever was killed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.controller import compare
from mlctl.runtime.controller.compare import Comparison

DAY, NEXT = "2026-03-01.jsonl", "2026-03-02.jsonl"


def row(name: str, role: str = "stable", prediction: object = 1, code: int = 200, seconds: float = 0.01) -> str:
    line: dict[str, Any] = {
        "request_id": name,
        "role": role,
        "code": code,
        "latency_seconds": seconds,
        "score": None,
        "prediction": prediction,
    }
    return json.dumps(line) + "\n"


def write(path: Path, *lines: str) -> None:
    with path.open("a") as stream:
        stream.write("".join(lines))


def test_originals_and_copies_find_each_other_across_time_and_days(tmp_path: Path) -> None:
    write(tmp_path / DAY, row("old"), row("old", "shadow", 2))
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, row("a"), row("b"), row("c", code=500))
    assert comparison.update(0.0) == (0, 0)
    write(tmp_path / NEXT, row("b", "shadow", 2, seconds=0.03), row("a", "shadow"), row("c", "shadow"), row("d"))
    assert comparison.update(30.0) == (0, 0)  # more of them may come
    assert comparison.update(32.0) == (2, 1)
    assert comparison.update(200.0) == (0, 0)
    report = comparison.report
    assert (report.compared, report.mismatches, report.without_answer, report.alone) == (2, 1, 1, 0)
    assert report.examples == [{"request_id": "b", "difference": "2 instead of 1", "code": "200"}]
    assert report.to_json()["mean_slower_seconds"] == pytest.approx(0.01)


def test_a_partner_that_comes_after_a_minute_is_too_late(tmp_path: Path) -> None:
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, row("a", "shadow"), row("b"))
    comparison.update(0.0)
    comparison.update(60.0)
    write(tmp_path / DAY, row("a"), row("b", "shadow"))
    comparison.update(61.0)
    assert comparison.update(63.0) == (0, 0)
    assert comparison.report.alone == 1


def test_lines_that_a_kill_tore_and_lines_of_others_hurt_nobody(tmp_path: Path) -> None:
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, row("a"), '{"request_id": "a", "role": "sha')
    comparison.update(0.0)
    write(tmp_path / DAY, "\n", row("a", "shadow"), "[1]\n", '{"role": "shadow"}\n', '{"request_id": 7}\n')
    write(tmp_path / DAY, json.dumps({"request_id": "x", "role": "shadow"}) + "\n", row("x"))
    comparison.update(1.0)
    assert comparison.update(3.0) == (1, 0)


def test_rows_of_one_request_are_compared_together(tmp_path: Path) -> None:
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, row("a", prediction=1), row("a", prediction=2), row("a", "shadow", 1))
    comparison.update(0.0)
    write(tmp_path / DAY, row("a", "shadow", 2))
    comparison.update(1.0)
    assert comparison.update(3.0) == (1, 0)


def test_a_controller_that_begins_anew_compares_nothing_twice(tmp_path: Path) -> None:
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, row("a"), row("a", "shadow", 2))
    comparison.update(0.0)
    assert comparison.update(2.0) == (1, 1)
    again = Comparison([tmp_path], json.loads(json.dumps(comparison.memory())))
    write(tmp_path / DAY, row("b"), row("b", "shadow"))
    again.update(0.0)
    assert again.update(2.0) == (1, 0)
    assert (again.report.compared, again.report.mismatches, len(again.report.examples)) == (2, 1, 1)


def test_memory_is_bounded_whatever_comes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "_MOST_WAITING", 100)
    comparison = Comparison([tmp_path])
    write(tmp_path / DAY, *(row(f"lost{number}", "shadow") for number in range(500)))
    write(tmp_path / DAY, row("a"), row("a", "shadow"))
    comparison.update(0.0)
    assert len(comparison._waiting) == 100
    assert comparison.update(2.0) == (1, 0)
    assert comparison.report.alone == 401
    write(
        tmp_path / DAY, *(row(f"b{n}", role, int(role == "shadow")) for n in range(40) for role in ("stable", "shadow"))
    )
    comparison.update(3.0)
    assert comparison.update(5.0) == (40, 40)
    assert len(comparison.report.examples) == 10
