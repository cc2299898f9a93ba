"""Units a day, counted in a prediction log."""

import json
from datetime import date
from pathlib import Path

import pytest

from mlctl.providers.ab_test.traffic import Traffic, counted

TODAY = date(2026, 11, 22)


def write(folder: Path, day: str, *rows: dict[str, object] | str) -> None:
    lines = [row if isinstance(row, str) else json.dumps(row) for row in rows]
    (folder / f"{day}.jsonl").write_text("\n".join(lines) + "\n")


def row(unit: str, **more: object) -> dict[str, object]:
    return {"ts": "2026-11-20T10:00:00+00:00", "unit": unit, "role": "stable", **more}


def test_who_comes_again_counts_once(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-19", row("a"), row("b"), row("a"))
    write(tmp_path, "2026-11-20", row("a"), row("c"))
    write(tmp_path, "2026-11-21", row("a"), row("d"), row("e"), row("f"))
    assert counted(tmp_path, TODAY) == Traffic(2.0, 3, "2026-11-19", "2026-11-21")


def test_the_day_that_is_not_over_and_old_days_do_not_count(tmp_path: Path) -> None:
    write(tmp_path, "2026-10-01", *(row(f"old-{number}") for number in range(50)))
    write(tmp_path, "2026-11-21", row("a"), row("b"))
    write(tmp_path, "2026-11-22", *(row(f"new-{number}") for number in range(50)))
    assert counted(tmp_path, TODAY) == Traffic(2.0, 1, "2026-11-21", "2026-11-21")


def test_a_day_without_anybody_counts_as_a_day(tmp_path: Path) -> None:
    write(tmp_path, "2026-11-18", row("a"), row("b"), row("c"), row("d"))
    write(tmp_path, "2026-11-21", row("a"))
    assert counted(tmp_path, TODAY) == Traffic(1.0, 4, "2026-11-18", "2026-11-21")


@pytest.mark.parametrize("rows", [[], [{"ts": "x", "key": 3}], ["{torn"], [row("a", role="shadow")], ["3"]])
def test_rows_that_tell_no_unit_are_no_traffic(rows: list[dict[str, object] | str], tmp_path: Path) -> None:
    write(tmp_path, "2026-11-21", *rows)
    assert counted(tmp_path, TODAY) is None
    assert counted(tmp_path / "nowhere", TODAY) is None


def test_it_tells_how_far_it_is(tmp_path: Path) -> None:
    for day in (19, 20, 21):
        write(tmp_path, f"2026-11-{day}", row(str(day)))
    told: list[float | None] = []
    counted(tmp_path, TODAY, lambda event: told.append(event.done))
    assert told == [1, 2, 3]
