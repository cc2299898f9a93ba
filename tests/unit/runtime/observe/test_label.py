from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.runtime.observe.label import look
from mlctl.types.jobs.label_lookup import LabelLookup, LabelSource
from mlctl.types.jobs.labels import Joining
from mlctl.types.jobs.profile import Source

AT = datetime(2026, 11, 1, 12, tzinfo=UTC)
COLUMNS = {"request_id": "varchar", "user": "varchar", "bought": "bigint", "at": "timestamp"}


def found(
    tmp_path: Path,
    rows: str,
    *,
    by: str = "id",
    at: datetime = AT,
    window: float = 86_400.0,
    next_at: datetime | None = None,
    columns: dict[str, str] = COLUMNS,
    **key: Any,
) -> dict[str, Any]:
    path = tmp_path / "labels.csv"
    path.write_text("request_id,user,bought,at\n" + rows)
    source = Source(files=[str(path)], format="csv", columns=columns, timestamp="at")
    joining = Joining(
        dataset="outcomes", source=source, timestamp="at", id="request_id" if by == "id" else None, key=[] if by == "id" else ["user"],
        within_window_seconds=window,
    )  # fmt: skip
    asked = LabelLookup(
        request_id="r-1",
        key=key or None,
        at=at.isoformat(),
        next_at=None if next_at is None else next_at.isoformat(),
        sources=[],
    )
    return look(asked, LabelSource(monitor="monitors.m", joining=joining, label="bought"), tmp_path)


def test_a_label_is_found_by_request_id_with_how_long_it_took(tmp_path: Path) -> None:
    told = found(tmp_path, "r-2,a,0,2026-11-01T13:00:00\nr-1,a,1,2026-11-01T14:00:00\n")
    assert told["found"] == [{"label": 1, "at": "2026-11-01T14:00:00+00:00", "lag_seconds": 7200.0, "late": False}]
    assert (told["by"], told["why"]) == (["request_id"], "")


def test_one_that_comes_after_its_window_is_late(tmp_path: Path) -> None:
    assert found(tmp_path, "r-1,a,1,2026-11-05T14:00:00\n")["found"][0]["late"]


def test_by_key_it_is_the_first_one_after_the_prediction(tmp_path: Path) -> None:
    rows = (
        "x,7,0,2026-11-01T11:00:00\ny,7,1,2026-11-01T13:00:00\nz,7,0,2026-11-01T15:00:00\nw,8,1,2026-11-01T12:30:00\n"
    )
    assert [item["label"] for item in found(tmp_path, rows, by="key", user=7)["found"]] == [1]
    assert found(tmp_path, rows, by="key")["why"] == "the prediction has no `user`"


def test_by_key_a_label_is_that_of_the_latest_prediction_before_it_as_monitors_have_it(tmp_path: Path) -> None:
    rows = "x,7,1,2026-11-01T15:00:00\n"
    told = found(tmp_path, rows, by="key", next_at=AT + timedelta(hours=1), user=7)
    assert (told["found"], told["why"]) == (
        [],
        "the label came after a later prediction of the same key, and is that one's",
    )
    assert found(tmp_path, rows, by="key", next_at=AT + timedelta(hours=4), user=7)["found"][0]["label"] == 1


def test_a_label_from_before_the_prediction_does_not_count(tmp_path: Path) -> None:
    told = found(tmp_path, "r-1,a,1,2026-11-01T11:00:00\n")
    assert (told["found"], told["why"]) == ([], "its label is from before the prediction, and does not count")
    assert found(tmp_path, "r-1,a,1,2026-11-01T11:59:59\n")["found"][0]["label"] == 1


def test_what_is_known_on_a_day_is_known_at_its_end(tmp_path: Path) -> None:
    columns = {**COLUMNS, "at": "date"}
    assert found(tmp_path, "x,7,1,2026-11-01\n", by="key", columns=columns, user=7)["found"][0]["label"] == 1


def test_none_yet_is_not_none(tmp_path: Path) -> None:
    young = datetime.now(UTC) - timedelta(hours=1)
    assert found(tmp_path, "r-2,a,1,2026-11-01T14:00:00\n", at=young)["why"] == "no label yet: it may still come"
    assert (
        found(tmp_path, "r-2,a,1,2026-11-01T14:00:00\n", at=young - timedelta(days=9))["why"] == "no label came in time"
    )
