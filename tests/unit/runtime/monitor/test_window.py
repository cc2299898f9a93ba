"""Reading a prediction log: only whole, distinct rows of the window count, and nothing in the file can stop it."""

import json
import math
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.monitor.window import Categories, Numbers, Window, category, log_rows, read_window

NOW = datetime(2026, 5, 10, 12, 0, tzinfo=UTC)
KINDS = {"age": "numeric", "city": "categorical"}


def row(**fields: Any) -> dict[str, Any]:
    return {
        "ts": "2026-05-10T10:00:00+00:00",
        "version": "1",
        "role": "stable",
        "key": None,
        "features": {"age": 4.0, "city": "Bern"},
        "score": 0.5,
        "code": 200,
        **fields,
    }


def read(folder: Path, *rows: Any, name: str = "2026-05-10.jsonl", days: float | None = 7) -> Window:
    lines = [item if isinstance(item, bytes) else json.dumps(item).encode() + b"\n" for item in rows]
    (folder / name).write_bytes(b"".join(lines))
    return read_window(folder, KINDS, None if days is None else NOW - timedelta(days=days), NOW)


def ages(window: Window) -> list[float]:
    column = window.columns["age"]
    assert isinstance(column, Numbers)
    return list(reversed(column.values))  # the log is read from its end


def cities(window: Window) -> dict[str | None, int]:
    column = window.columns["city"]
    assert isinstance(column, Categories)
    return column.counts


def test_a_log_that_is_not_there_is_empty(tmp_path: Path) -> None:
    assert read_window(tmp_path / "none", KINDS, None, NOW).rows == 0


def test_torn_and_foreign_lines_are_counted_and_left_out(tmp_path: Path) -> None:
    window = read(
        tmp_path,
        b'{"ts": "2026-05-1\n',
        row(),
        b"[1]\n",
        b"[" * 100_000 + b"\n",
        b'"text"\n',
        b"\xff\xfe\n",
        b"\n",
        {"features": {}},
        row(ts="yesterday"),
        row(ts=5),
        b'{"ts": "2026-05-10T11:0',
    )
    assert (window.rows, window.unreadable) == (1, 9)


def test_a_score_that_no_float_holds_is_none(tmp_path: Path) -> None:
    assert list(read(tmp_path, row(score=10**400), row(score=math.nan), row(score=0.5)).scores) == [0.5]


def test_values_that_are_no_numbers_are_missing(tmp_path: Path) -> None:
    values = [1, 2.5, True, None, "old", [1], math.inf, math.nan]
    window = read(tmp_path, *(row(features={"age": value}) for value in values), row(features={}), row(features=None))
    assert ages(window)[:3] == [1.0, 2.5, 1.0]
    assert [math.isnan(value) for value in ages(window)[3:]] == [
        True
    ] * 5  # and nothing for rows that do not have the feature
    assert window.rows == 10


def test_window_role_and_answers_without_a_prediction(tmp_path: Path) -> None:
    window = read(
        tmp_path,
        row(ts="2026-05-03T12:00:00Z", features={"age": 1}),
        row(ts="2026-05-03T11:59:59Z", features={"age": 2}),
        row(ts="2026-05-10T14:00:00+02:00", features={"age": 3}),
        row(ts="2026-05-10T12:00:00.000001Z", features={"age": 4}),
        row(role="shadow", features={"age": 5}),
        row(code=503, score=None, features={"age": 6}),
        row(ts="2026-05-09T00:00:00", features={"age": 7}),
    )
    assert ages(window) == [1, 3, 7]
    assert window.refused == 1
    assert len(ages(read(tmp_path, row(ts="2020-01-01T00:00:00Z"), days=None))) == 1


def test_files_of_other_days_are_not_opened(tmp_path: Path) -> None:
    (tmp_path / "2026-01-01.jsonl").mkdir()  # would fail if opened
    (tmp_path / "2026-05-10.jsonl.tmp").write_text("{")
    assert read(tmp_path, row()).rows == 1


def test_of_each_key_the_latest_row_counts(tmp_path: Path) -> None:
    one, other = {"id": 1}, {"id": 2}
    rows = [row(key=one), row(key=one), row(key=other), row(key=one, features={"age": 5.0}), row(), row()]
    window = read(tmp_path, *rows)
    assert (window.rows, window.repeated) == (4, 2)  # without a key nothing says that two rows are about the same
    assert sorted(ages(window)) == [4.0, 4.0, 4.0, 5.0]
    each = read_window(tmp_path, KINDS, None, NOW, every_row=True)
    assert (each.rows, each.repeated) == (5, 1)  # one repeats another to the digit


def test_a_log_of_several_days_and_blocks_is_read_from_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.runtime.monitor.window._BLOCK", 100)  # less than a line
    for day in (8, 9, 10):
        rows = [
            row(ts=f"2026-05-{day:02}T10:00:{second:02}Z", features={"age": 100 * day + second}) for second in range(9)
        ]
        window = read(tmp_path, *rows, name=f"2026-05-{day:02}.jsonl")
    assert ages(window) == [100.0 * day + second for day in (8, 9, 10) for second in range(9)]
    assert (window.first, window.last) == ("2026-05-08T10:00:00+00:00", "2026-05-10T10:00:08+00:00")


def test_the_same_customers_day_after_day_do_not_alarm(tmp_path: Path) -> None:
    """300 customers, each with a row a day that hardly changes, drawn as the reference was: no drift."""
    import numpy as np

    from mlctl.stats.drift_numbers import ks

    draw = np.random.default_rng(5)
    reference = draw.normal(size=4000)
    alarms = {False: 0, True: 0}
    for _ in range(40):
        levels = draw.normal(size=300)
        lines = [
            row(ts=f"2026-05-{day:02}T10:00:00Z", key={"id": customer}, features={"age": level + 0.02 * draw.normal()})
            for day in range(4, 10)
            for customer, level in enumerate(levels.tolist())
        ]
        read(tmp_path, *lines)
        for every_row in alarms:
            values = ages(read_window(tmp_path, KINDS, None, NOW, every_row=every_row))
            alarms[every_row] += ks(reference, np.asarray(values)).p_value < 0.05
    assert alarms[False] <= 6  # 5 % of 40, and chance
    assert alarms[True] > 12


def test_scores_are_those_of_the_latest_version(tmp_path: Path) -> None:
    window = read(
        tmp_path,
        row(score=0.1),
        row(score=0.2, version="2"),
        row(score=0.3, version="1"),
        row(score=0.4, version="2"),
        row(score=None),
    )
    assert window.version == "2"
    assert list(window.latest_scores().values) == [0.4, 0.2]
    assert ages(window) == [4.0] * 5
    assert list(Window({}).latest_scores().values) == []


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("1", "1"),
        (1, "1"),
        (1.0, "1"),
        ("1.0", "1"),
        (-2.0, "-2"),
        (1.5, "1.5"),
        (True, "true"),
        ("True", "true"),
        (False, "false"),
        (None, None),
        (math.nan, None),
        ("v1.0", "v1.0"),
        ("", ""),
    ],
)
def test_categories_have_one_name(value: Any, text: str | None) -> None:
    assert category(value) == text


def test_categories_are_counted(tmp_path: Path) -> None:
    assert cities(
        read(tmp_path, row(), row(features={"city": None}), row(features={"city": "Bern"}), row(features={"age": 1}))
    ) == {"Bern": 2, None: 1}


def test_a_day_that_the_server_lets_go_of_while_the_log_is_read_ends_nothing(tmp_path: Path) -> None:
    for day in ("2026-05-08", "2026-05-10"):
        line = json.dumps(row(ts=f"{day}T10:00:00+00:00", prediction=1)) + "\n"
        (tmp_path / f"{day}.jsonl").write_text(line)
    found = log_rows(tmp_path, None, NOW)
    assert next(found)["ts"].day == 10
    (tmp_path / "2026-05-08.jsonl").unlink()  # `log.keep`
    assert list(found) == []
