"""Keys as they are written on the command line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from mlctl.providers.feast.listing import listing
from mlctl.providers.feast.online import get_params
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Pending, Record

STORE = {
    "project": "shop", "registry": "registry.db", "online": {"type": "sqlite", "path": "online.db"}, "offline": {"type": "duckdb"},
}  # fmt: skip
USER, ITEM = {"name": "user", "type": "int64"}, {"name": "item", "type": "string"}


def view(*keys: dict[str, str]) -> Record:
    outputs: dict[str, Any] = {
        "view": "spend", "keys": list(keys), "features": {"amount": "float64"}, "ttl_seconds": None, "store": STORE, "online": True,
    }  # fmt: skip
    return Record(ObjectKey.parse("feature_views.spend#"), "spend", outputs=outputs)


def service() -> Record:
    computed = {
        "view": "ratio", "file": "src/f.py", "function": "ratio", "closure": ["src/f.py"], "code_digest": "c", "root": ".",
        "request": {"price": "float64"}, "inputs": ["amount"], "features": {"share": "float64"},
    }  # fmt: skip
    looked = {"view": "spend", "keys": [USER], "features": ["amount"], "ttl_seconds": None}
    serving = {"columns": ["share"], "keys": [USER], "views": [looked], "store": STORE, "transformations": [computed]}
    return Record(ObjectKey.parse("feature_services.model#"), "model", outputs={"serving": serving})


def test_a_view_that_an_earlier_version_recorded_is_named_with_what_heals_it() -> None:
    old = view()
    old.outputs.update(keys=2469, snapshot_keys=None)  # 0.1 counted the keys here
    entity = Record(ObjectKey.parse("entities.user#"), "user", outputs={"name": "user", "join_key": "user"})
    asked: list[Callable[[], Any]] = [
        lambda: get_params(old, ["42"]),
        lambda: listing({"feature_views.spend": old}),
        lambda: listing({"entities.user": entity}),
    ]
    for ask in asked:
        with pytest.raises(MlctlError) as caught:
            ask()
        assert caught.value.diagnostics[0].code == "features.old-record"
        assert "`mlctl apply`" in caught.value.diagnostics[0].fix


def test_a_view_whose_last_apply_failed_is_listed_as_that_and_answers_no_question() -> None:
    cut = replace(view(), pending=Pending.APPLY)
    assert listing({"feature_views.spend": cut})["unfinished"] == [{"address": str(cut.key.address)}]
    with pytest.raises(MlctlError) as caught:
        get_params(cut, ["42"])
    assert "its last apply failed, or was cut off" in caught.value.diagnostics[0].why


@pytest.mark.parametrize(
    ("keys", "text", "expected"),
    [
        ([USER], "42", {"user": 42}),
        ([USER], "user=-42", {"user": -42}),
        ([ITEM], "a=b,c", {"item": "a=b,c"}),
        ([ITEM], "item=item=x", {"item": "item=x"}),
        ([USER, ITEM], "user=1,item=a,b", {"user": 1, "item": "a,b"}),
        ([USER, ITEM], "item=x, y,user=7", {"item": "x, y", "user": 7}),
        ([USER, ITEM], "item=,user=7", {"item": "", "user": 7}),
    ],
)
def test_a_key_is_a_value_or_each_column_by_name(
    keys: list[dict[str, str]], text: str, expected: dict[str, Any]
) -> None:
    assert get_params(view(*keys), [text]).keys == [expected]


@pytest.mark.parametrize(
    ("keys", "text"),
    [
        ([USER], "x"),
        ([USER, ITEM], "1"),
        ([USER, ITEM], "user=1"),
        ([USER, ITEM], "usr=1,item=a"),
        ([USER, ITEM], "user=1,user=2,item=a"),
    ],
)
def test_what_is_no_key_is_refused(keys: list[dict[str, str]], text: str) -> None:
    with pytest.raises(MlctlError) as caught:
        get_params(view(*keys), [text])
    assert caught.value.diagnostics[0].code == "features.bad-key"


def test_a_service_wants_what_it_computes_from_the_request_beside_the_keys() -> None:
    params = get_params(service(), ["user=1,price=2.5", "price=null,user=2"])
    assert params.keys == [{"user": 1}, {"user": 2}]
    assert params.requests == [{"price": 2.5}, {"price": None}]
    assert params.columns == ["share"]
    with pytest.raises(MlctlError, match="`price`"):
        get_params(service(), ["user=1"])
