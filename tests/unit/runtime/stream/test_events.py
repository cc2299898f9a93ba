"""From messages to events: what is taken, and why the rest is not."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from mlctl.runtime.stream.events import NoEvent, Reader, unreadable
from mlctl.types.jobs.profile import Source

NOW = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
COLUMNS = {
    "id": "bigint", "at": "timestamp", "user_id": "integer", "amount": "double", "price": "decimal(8,2)", "shop": "varchar",
    "day": "date", "paid": "boolean", "small": "tinyint", "count": "utinyint",
}  # fmt: skip
EVENT: dict[str, Any] = {
    "id": 1, "at": "2026-05-31T12:00:00", "user_id": 7, "amount": 1.5, "price": 9.99, "shop": "Zürich", "day": "2026-05-31",
    "paid": True, "small": -128, "count": 255,
}  # fmt: skip


def source(columns: dict[str, str] = COLUMNS) -> Source:
    return Source(files=[], format="parquet", columns=columns, key=["id"], timestamp="at")


def read(**changes: Any) -> dict[str, Any]:
    body = json.dumps({**EVENT, **changes}).encode()
    return Reader(source(), "at", ("user_id",)).read(body, NOW)[0]


def reason(body: bytes) -> str:
    with pytest.raises(NoEvent) as raised:
        Reader(source(), "at", ("user_id",)).read(body, NOW)
    return str(raised.value)


def test_an_event_is_kept_as_the_files_of_its_source_would_hold_it() -> None:
    found = read(unknown_to_the_source=1)
    assert found == {**EVENT, "at": "2026-05-31T12:00:00.000000", "price": "9.99"}
    assert list(found) == list(COLUMNS)


def test_a_time_with_a_zone_is_turned_into_utc() -> None:
    body = json.dumps({**EVENT, "at": "2026-05-31T12:00:00.25+02:00"}).encode()
    event, moment = Reader(source(), "at", ("user_id",)).read(body, NOW)
    assert (event["at"], moment) == ("2026-05-31T10:00:00.250000", datetime(2026, 5, 31, 10, 0, 0, 250000))


@pytest.mark.parametrize("price", [9.99, "9.990", 10, "-999999.99"])
def test_a_decimal_keeps_its_digits(price: Any) -> None:
    assert float(read(price=price)["price"]) == float(price)


def test_a_value_may_be_null_but_not_a_key_or_the_time() -> None:
    assert read(amount=None, shop=None)["amount"] is None
    for name in ("id", "at", "user_id"):
        assert reason(json.dumps({**EVENT, name: None}).encode()) == f"`{name}` is null"


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"id": "1"}, "`id`: '1' is not a whole number"),
        ({"id": 1.0}, "is not a whole number"),
        ({"id": True}, "is not a whole number"),
        ({"id": 2**63}, "does not fit"),
        ({"small": 128}, "does not fit"),
        ({"count": -1}, "does not fit"),
        ({"amount": "1.5"}, "is not a finite number"),
        ({"amount": True}, "is not a finite number"),
        ({"price": 9.999}, "more than 2 digits after the point"),
        ({"price": 10_000_000}, "does not fit decimal(8,2)"),
        ({"price": "NaN"}, "does not fit decimal(8,2)"),
        ({"shop": 5}, "is not a text"),
        ({"shop": 5.5}, "is not a text"),
        ({"paid": 1}, "is not true or false"),
        ({"at": "yesterday"}, "`at`:"),
        ({"at": 1748692800}, "is not a text"),
        ({"day": "2026-02-30"}, "`day`:"),
        ({"at": "2026-06-03"}, "which is in the future"),
        ({"at": "1970-01-01T00:00:00"}, "as a clock says that was never set"),
        ({"at": "0001-01-01"}, "as a clock says that was never set"),
    ],
)
def test_what_is_no_event_says_why(changes: dict[str, Any], why: str) -> None:
    assert why in reason(json.dumps({**EVENT, **changes}).encode())


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b"", "it is not JSON"),
        (b"\xff\xfe", "it is not JSON"),
        (b"[" * 100_000, "it is not JSON"),
        (b'{"amount": NaN}', "NaN is not a JSON value"),
        (json.dumps(EVENT).replace("1.5", "1e999").encode(), "is not a finite number"),
        (b"[1]", "it is not a JSON object"),
        (b'{"id": 1}', "it has no `at`"),
        (json.dumps(EVENT).replace("Zürich", "\\ud800").replace("Z\\u00fcrich", "\\ud800").encode(), "`shop`"),
        (b'{"id": "' + b"x" * 5_000_000 + b'"}', "bytes; an event may have"),
    ],
)
def test_what_is_no_json_object_of_the_right_shape_says_why(body: bytes, why: str) -> None:
    assert why in reason(body)


def test_columns_that_json_cannot_carry_are_named() -> None:
    assert unreadable(source({**COLUMNS, "blob": "blob", "tags": "varchar[]"})) == {"blob": "blob", "tags": "varchar[]"}
    with pytest.raises(ValueError, match="blob"):
        Reader(source({**COLUMNS, "x": "blob"}), "at", ())
