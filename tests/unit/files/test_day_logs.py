from __future__ import annotations

import json
from pathlib import Path

from mlctl.files.day_logs import day_files, first_after, search

FIELDS = ("request_id", "trace_id")


def write(folder: Path, day: str, *rows: dict[str, object] | str) -> None:
    folder.mkdir(exist_ok=True)
    lines = [row if isinstance(row, str) else json.dumps(row, ensure_ascii=False) for row in rows]
    (folder / f"{day}.jsonl").write_text("\n".join(lines) + "\n")


def test_the_files_of_a_log_are_those_named_by_a_day_the_oldest_first(tmp_path: Path) -> None:
    for name in (
        "2026-11-22.jsonl",
        "2026-11-20.jsonl",
        "2026-11-21.jsonl",
        "2026-11-21.jsonl.gz",
        "yyyy-mm-dd.jsonl",
        "notes.jsonl",
    ):
        (tmp_path / name).touch()
    assert [path.stem for path in day_files(tmp_path)] == ["2026-11-20", "2026-11-21", "2026-11-22"]
    assert [path.stem for path in day_files(tmp_path, "2026-11-21")] == ["2026-11-21", "2026-11-22"]
    assert [path.stem for path in day_files(tmp_path, "", "2026-11-21")] == ["2026-11-20", "2026-11-21"]
    assert day_files(tmp_path / "not-there") == []


def test_the_newest_day_that_has_it_is_found_and_older_ones_are_not_looked_at(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-19", {"ts": "1", "request_id": "a"})
    write(tmp_path, "2026-11-20", {"ts": "1", "request_id": "b"})
    write(tmp_path, "2026-11-21", {"ts": "2", "request_id": "a"}, {"ts": "1", "trace_id": "a"})
    write(tmp_path, "2026-11-22", {"ts": "3", "request_id": "c"})
    hits = search([tmp_path], ["a"], FIELDS)
    assert [row["ts"] for _, row in hits.rows] == ["1", "2"]
    assert hits.files == 3  # the day with it, the one before, which a midnight may part, and the one after
    assert hits.bytes == sum((tmp_path / f"2026-11-{day}.jsonl").stat().st_size for day in (20, 21, 22))


def test_both_sides_of_a_midnight_are_found(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-21", {"ts": "1", "trace_id": "t"})
    write(tmp_path, "2026-11-22", {"ts": "2", "trace_id": "t"})
    assert len(search([tmp_path], ["t"], FIELDS).rows) == 2


def test_an_id_counts_where_it_is_one_and_a_line_once(tmp_path: Path) -> None:
    write(
        tmp_path, "2026-11-22", {"request_id": "x", "answer": "a"}, {"request_id": "a", "trace_id": "a"}, '{"request_id": "a", "torn', "[]", {"request_id": "aa"},
        {"request_id": 'q"uote é'},
    )  # fmt: skip
    assert [row for _, row in search([tmp_path], ["a", "a"], FIELDS).rows] == [{"request_id": "a", "trace_id": "a"}]
    assert len(search([tmp_path], ['q"uote é'], FIELDS).rows) == 1
    assert search([tmp_path], [""], FIELDS).rows == []


def test_a_day_may_be_named_and_what_is_no_log_is_left_alone(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-21", {"request_id": "a"})
    write(tmp_path, "2026-11-22", {"request_id": "a"})
    (tmp_path / "notes.jsonl").write_text('{"request_id": "a"}\n')
    (tmp_path / "2026-11-23.jsonl").write_text("")
    assert [path.stem for path, _ in search([tmp_path], ["a"], FIELDS, "2026-11-21").rows] == ["2026-11-21"]
    assert search([tmp_path / "nowhere"], ["a"], FIELDS).files == 0


def test_the_first_line_after_a_moment_is_found_over_days(tmp_path: Path) -> None:
    def write(day: str, *lines: dict[str, object]) -> None:
        (tmp_path / f"{day}.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))

    write("2026-11-01", {"ts": "2026-11-01T10", "key": {"a": 1}}, {"ts": "2026-11-01T09", "key": {"a": 1}})
    write("2026-11-02", {"ts": "2026-11-02T11", "key": {"a": 1}}, {"ts": "2026-11-02T10", "key": {"a": 1}, "no": 1})
    write("2026-11-03", {"ts": "2026-11-03T11", "key": {"a": 1}})

    def after(ts: str) -> str | None:
        found = first_after(tmp_path, '"key": {"a": 1}', ts, lambda row: "no" not in row)
        return None if found is None else str(found["ts"])

    assert [after(ts) for ts in ("2026-11-01T08", "2026-11-01T09", "2026-11-01T10", "2026-11-02T11", "2026-11-03T11")] == [
        "2026-11-01T09", "2026-11-01T10", "2026-11-02T11", "2026-11-03T11", None,
    ]  # fmt: skip
