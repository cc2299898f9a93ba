"""Requests and tokens of a prediction log, counted in one pass."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from mlctl.files.log_counts import count
from mlctl.types.log_counts import Tokens


def line(id: str, ts: str = "2026-11-02T10:00:00.000000+00:00", code: int = 200, **more: Any) -> str:
    return json.dumps({"ts": ts, "request_id": id, "code": code, **more})


def write(folder: Path, day: str, *lines: str) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"{day}.jsonl").write_text("".join(f"{item}\n" for item in lines))


def test_a_request_of_several_rows_is_one_request(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-02", line("a", score=0.1), line("b", score=0.2), line("a", score=0.3), line("c", code=503))
    found = count(tmp_path, "2026-11-01T00:00:00+00:00")
    assert (found.requests, found.answered, found.total) == (3, 2, None)


def test_a_copy_whose_answer_reaches_nobody_is_no_request(tmp_path: Path) -> None:
    tokens: dict[str, Any] = {"prompt_tokens": 100, "completion_tokens": 10}
    write(
        tmp_path, "2026-11-02",
        line("a", role="shadow", **tokens), line("a", role="stable", **tokens), line("b", role="shadow", **tokens),
    )  # fmt: skip
    found = count(tmp_path, "2026-11-01")
    assert (found.requests, found.answered, found.total) == (1, 1, Tokens(1, 100, 10, 0))


def test_a_file_that_goes_meanwhile_is_counted_as_far_as_it_was_there(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-01", line("a", "2026-11-01T10:00:00+00:00"))
    (tmp_path / "2026-11-02.jsonl").symlink_to(tmp_path / "gone")
    assert count(tmp_path, "2026-11-01").requests == 1


def test_tokens_are_summed_by_day_and_length(tmp_path: Path) -> None:
    write(
        tmp_path, "2026-11-02",
        line("a", prompt_tokens=100, completion_tokens=10, cached_tokens=40),
        line("b", prompt_tokens=120, completion_tokens=20),
        line("c", prompt_tokens=5000, completion_tokens=30),
        line("d", prompt_tokens=None, completion_tokens=None),
        line("e", prompt_tokens=7, completion_tokens=7, code=500),
    )  # fmt: skip
    found = count(tmp_path, "2026-11-01")
    assert found.tokens == {
        ("2026-11-02", 7): Tokens(2, 220, 30, 40),
        ("2026-11-02", 13): Tokens(1, 5000, 30, 0),
    }
    assert found.total == Tokens(3, 5220, 60, 40)
    assert (found.answered, found.uncounted) == (4, 1)


def test_what_is_older_is_not_counted_and_its_days_are_not_read(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-01", "{ torn and never read")
    write(
        tmp_path, "2026-11-02",
        line("a", "2026-11-02T09:59:59.000000+00:00"), line("b", "2026-11-02T10:00:00.000000+00:00"), "no json", "[1]",
        line("c", "2026-11-02T23:00:00.000000+00:00"),
    )  # fmt: skip
    read: list[float] = []
    found = count(tmp_path, "2026-11-02T10:00:00+00:00", read.append)
    assert (found.requests, found.first[11:16], found.last[11:16]) == (2, "10:00", "23:00")
    assert read
    assert all(0 < share <= 1 for share in read)


def test_no_log_is_no_request(tmp_path: Path) -> None:
    assert count(tmp_path / "none", "2026-11-02").requests == 0
