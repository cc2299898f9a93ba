from __future__ import annotations

import json

import pytest

from mlctl.runtime.server.payload import Refused, parse
from mlctl.types.jobs.server import ServedFeatures

STORE = {"project": "p", "registry": "r", "online": {"type": "sqlite", "path": "o"}, "offline": {"type": "duckdb"}}
KEYED = ServedFeatures.model_validate(
    {"columns": ["amount", "visits"], "join_key": "household_id", "views": [], "store": STORE}
)
PLAIN = ServedFeatures(columns=["amount", "visits"])


def test_the_three_forms() -> None:
    assert parse(b'{"household_id": 12}', KEYED).keys == [12]
    assert parse(b'{"keys": ["a", "b"]}', KEYED).keys == ["a", "b"]
    asked = parse(
        b'{"instances": [{"visits": 2, "amount": null, "household_id": 5}, {"amount": true, "visits": 1e3}]}', KEYED
    )
    assert asked.keys == [5, None]
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
