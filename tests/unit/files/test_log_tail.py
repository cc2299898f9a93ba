"""The newest lines of a log by days come first, and no more of them than are asked for."""

from __future__ import annotations

import json
from pathlib import Path

from mlctl.files.log_tail import newest


def written(folder: Path, day: str, numbers: list[int], tail: str = "") -> None:
    (folder / f"2026-11-{day}.jsonl").write_text("".join(f"{json.dumps({'n': n, 't': 'ü'})}\n" for n in numbers) + tail)


def test_lines_come_the_newest_first_over_days(tmp_path: Path) -> None:
    written(tmp_path, "01", [1, 2])
    written(tmp_path, "02", [3, 4, 5])
    (tmp_path / "notes.jsonl").write_text('{"n": 99}\n')
    assert [row["n"] for row in newest(tmp_path, 100)] == [5, 4, 3, 2, 1]
    assert [row["n"] for row in newest(tmp_path, 4)] == [5, 4, 3, 2]


def test_a_torn_line_a_blank_one_and_what_is_no_object_are_passed_over(tmp_path: Path) -> None:
    written(tmp_path, "01", [1], tail='\n[2]\nnull\n{"n": 3}\n{"n": ')
    assert [row["n"] for row in newest(tmp_path, 100)] == [3, 1]


def test_no_folder_and_an_empty_file_have_none(tmp_path: Path) -> None:
    (tmp_path / "2026-11-01.jsonl").touch()
    assert not list(newest(tmp_path, 5))
    assert not list(newest(tmp_path / "none", 5))
