from __future__ import annotations

import json
from typing import Any

import pytest

from mlctl.runtime.server.payload import Asked, Kind, Reader, Refused
from mlctl.types.jobs.server import ServedFeatures

STORE = {"project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"}}
KEY = {"name": "household_id", "type": "int64"}
VIEW = {"view": "spending", "keys": [KEY], "features": ["amount", "visits"], "ttl_seconds": None}
KEYED = ServedFeatures.model_validate({"columns": ["amount", "visits"], "keys": [KEY], "views": [VIEW], "store": STORE})
PLAIN = ServedFeatures(columns=["amount", "visits"])


def parse(body: bytes, serving: ServedFeatures) -> Asked:
    return Reader(serving).read(body)


def test_the_three_forms() -> None:
    assert parse(b'{"household_id": 12}', KEYED).keys == [{"household_id": 12}]
    assert parse(b'{"keys": [3, {"household_id": 4}]}', KEYED).keys == [{"household_id": 3}, {"household_id": 4}]
    asked = parse(
        b'{"instances": [{"visits": 2, "amount": null, "household_id": 5}, {"amount": true, "visits": 1e3}]}', KEYED
    )
    assert asked.keys == [{"household_id": 5}, None]
    assert asked.values == [{"amount": None, "visits": 2.0}, {"amount": 1.0, "visits": 1000.0}]
    assert list(asked.values[0]) == ["amount", "visits"]  # the model's order, whatever the client's


@pytest.mark.parametrize(
    ("body", "code", "field"),
    [
        (b"", "predict.not-json", "body"),
        (b"\xff\xfe{", "predict.not-json", "body"),
        (b'{"household_id": NaN}', "predict.not-json", "body"),
        (b"[" * 100_000, "predict.not-json", "body"),
        (b"[1]", "predict.not-an-object", "body"),
        (b"{}", "predict.ambiguous", "body"),
        (b'{"household_id": 1, "keys": [1]}', "predict.ambiguous", "body"),
        (b'{"housheold_id": 1}', "predict.unknown-field", "housheold_id"),
        (b'{"household_id": true}', "predict.bad-key", "household_id"),
        (b'{"household_id": null}', "predict.bad-key", "household_id"),
        (b'{"household_id": 9223372036854775808}', "predict.bad-key", "household_id"),
        (b'{"keys": []}', "predict.bad-list", "keys"),
        (b'{"keys": 5}', "predict.bad-list", "keys"),
        (b'{"keys": [1, [2]]}', "predict.bad-key", "keys[1]"),
        (b'{"keys": [1, "2"]}', "predict.bad-key", "keys[1]"),
        (b'{"keys": [{}]}', "predict.missing-field", "keys[0].household_id"),
        (b'{"keys": [{"household_id": 1, "shop": 1}]}', "predict.unknown-field", "keys[0].shop"),
        (b'{"instances": [5]}', "predict.bad-instance", "instances[0]"),
        (b'{"instances": [{"amount": 1, "visits": 1, "visist": 1}]}', "predict.unknown-feature", "instances[0].visist"),
        (b'{"instances": [{"amount": 1}]}', "predict.missing-feature", "instances[0].visits"),
        (b'{"instances": [{"amount": 1e999, "visits": 1}]}', "predict.bad-value", "instances[0].amount"),
        (b'{"instances": [{"amount": ' + b"9" * 400 + b', "visits": 1}]}', "predict.bad-value", "instances[0].amount"),
    ],
)
def test_what_is_wrong_is_named(body: bytes, code: str, field: str) -> None:
    with pytest.raises(Refused) as raised:
        parse(body, KEYED)
    assert (raised.value.status, raised.value.code, raised.value.field) == (422, code, field)


def test_hints_and_limits() -> None:
    with pytest.raises(Refused, match="did you mean `household_id`"):
        parse(b'{"housheold_id": 1}', KEYED)
    with pytest.raises(Refused, match="a request may have 1000"):
        parse(json.dumps({"keys": [1] * 1001}).encode(), KEYED)
    with pytest.raises(Refused) as raised:
        parse(b'{"keys": [1]}', PLAIN)  # a model without feature views knows no keys
    assert raised.value.code == "predict.unknown-field"


KEYS = [KEY, {"name": "product", "type": "string"}]
MADE = {
    "view": "ratios", "file": "f.py", "function": "f", "closure": ["f.py"], "code_digest": "c", "inputs": ["amount"],
    "request": {"basket": "float64", "coupons": "int64"}, "features": {"share": "float64"},
}  # fmt: skip
ASKING = ServedFeatures.model_validate(
    {
        "columns": ["amount", "share"],
        "keys": KEYS,
        "views": [{**VIEW, "keys": KEYS}],
        "store": STORE,
        "transformations": [MADE],
    }
)
BRINGING = ServedFeatures.model_validate({"columns": ["share"], "transformations": [{**MADE, "inputs": []}]})
ROW = {"household_id": 1, "product": "tea", "basket": 9.5, "coupons": None}


def test_a_row_has_all_key_columns_and_what_transformations_read() -> None:
    for body in (ROW, {"keys": [ROW]}):
        asked = parse(json.dumps(body).encode(), ASKING)
        assert asked.keys == [{"household_id": 1, "product": "tea"}]
        assert asked.request == [{"basket": 9.5, "coupons": None}]
        assert asked.values is None


def test_a_model_without_views_takes_only_what_its_transformations_read() -> None:
    asked = parse(b'{"basket": 2, "coupons": 1}', BRINGING)
    assert (asked.keys, asked.request) == ([{}], [{"basket": 2.0, "coupons": 1.0}])


def test_features_that_are_given_bring_no_request() -> None:
    body = {"instances": [{"amount": 1, "share": 0.5, "household_id": 1, "product": "tea"}, {"amount": 1, "share": 2}]}
    asked = parse(json.dumps(body).encode(), ASKING)
    assert (asked.keys, asked.request) == ([{"household_id": 1, "product": "tea"}, None], ())


@pytest.mark.parametrize(
    ("changed", "code", "field"),
    [
        ({"product": None}, "predict.bad-key", "product"),
        ({"product": 5}, "predict.bad-key", "product"),
        ({"basket": "much"}, "predict.bad-value", "basket"),
        ({"coupons": 1.5}, "predict.bad-value", "coupons"),
        ({"coupons": 2**53 + 2}, "predict.bad-value", "coupons"),
        ({"coupon": 1}, "predict.unknown-field", "coupon"),
        ({"product": ...}, "predict.missing-field", "product"),
        ({"basket": ...}, "predict.missing-field", "basket"),
    ],
)
def test_a_row_that_lacks_something_or_has_too_much_is_refused(changed: dict[str, Any], code: str, field: str) -> None:
    row = {name: value for name, value in {**ROW, **changed}.items() if value is not ...}
    for body, place in ((row, field), ({"keys": [ROW, row]}, f"keys[1].{field}")):
        with pytest.raises(Refused) as raised:
            parse(json.dumps(body).encode(), ASKING)
        assert (raised.value.code, raised.value.field) == (code, place)


def test_a_key_alone_stands_for_a_row_only_where_it_is_all_of_it() -> None:
    with pytest.raises(Refused, match="household_id, product, basket, coupons"):
        parse(b'{"keys": [1]}', ASKING)


def test_rows_of_plain_numbers_are_read_the_same_either_way() -> None:
    """The quick way takes exactly the columns, all of them finite; one null more and the row goes the long way."""
    quick = parse(b'{"instances": [{"amount": 1, "visits": true}]}', PLAIN).values
    slow = parse(b'{"instances": [{"amount": null, "visits": true}]}', PLAIN).values
    assert (quick, slow) == ([{"amount": 1.0, "visits": 1.0}], [{"amount": None, "visits": 1.0}])
    assert [type(value) for value in quick[0].values()] == [float, float]
    for wrong in (b"1e999", b"-1e999", b"9" * 400, b'"1"', b"[1]"):
        with pytest.raises(Refused) as raised:
            parse(b'{"instances": [{"visits": 1, "amount": ' + wrong + b"}]}", PLAIN)
        assert raised.value.field == "instances[0].amount"


@pytest.mark.parametrize(
    ("kind", "good", "bad"),
    [
        ("integer", [3, 3.0, -(2**63)], [3.5, None, True, 2**63, "3"]),
        ("boolean", [True, False], [1, 0, None, "true"]),
        ("string", ["", "a", None], [1, True, []]),
    ],
)
def test_a_column_takes_what_the_models_signature_says(kind: Kind, good: list[Any], bad: list[Any]) -> None:
    reader = Reader(ServedFeatures(columns=["a"]), {"a": kind})
    for value in good:
        assert reader.read(json.dumps({"instances": [{"a": value}]}).encode()).values == [{"a": value}]
    for value in bad:
        with pytest.raises(Refused) as raised:
            reader.read(json.dumps({"instances": [{"a": value}]}).encode())
        assert (raised.value.code, raised.value.field) == ("predict.bad-value", "instances[0].a")
