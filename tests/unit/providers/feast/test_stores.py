"""The block `feature_store`: what is refused, what is rendered for Feast, and names that never meet on a shared server."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.providers.feast import layout
from mlctl.providers.feast.settings import FeatureStore
from mlctl.providers.feast.spec import FeatureViewSpec
from mlctl.providers.feast.store_rules import store_problems
from mlctl.runtime.features.feast_opening import offline_config, online_config
from mlctl.runtime.features.feast_store import entity_names
from mlctl.testing.harness import make_context
from mlctl.types.jobs.features import Key, Store

BIGQUERY = {"type": "bigquery", "project": "acme", "dataset": "features", "location": "EU"}
SNOWFLAKE = {
    "type": "snowflake", "account": "acme-1", "user": "ml", "password": "snow-pw", "database": "FEATURES", "warehouse": "WH",
}  # fmt: skip
REDIS = {"type": "redis", "url": "redis://:redis-pw@cache:6380/3"}


def store(tmp_path: Path, **settings: Any) -> Store:
    return layout.store_of(make_context(tmp_path, {"feature_store": settings}, project="shop"))


def test_without_a_block_everything_is_a_file_of_the_environment(tmp_path: Path) -> None:
    made = store(tmp_path)
    assert (made.project, made.registry, made.registry_is_file) == ("shop", ".mlctl/default/features/registry.db", True)
    assert online_config(made) == {"type": "sqlite", "path": ".mlctl/default/features/online.db"}
    assert offline_config(made) == {"type": "duckdb"}


def test_redis_is_rendered_as_feast_wants_it(tmp_path: Path) -> None:
    made = store(tmp_path, online={**REDIS, "key_ttl": "2d"})
    assert made.project == "shop__default"
    assert online_config(made) == {
        "type": "redis",
        "connection_string": 'cache:6380,db=3,password="redis-pw"',
        "full_scan_for_deletion": False,
        "key_ttl_seconds": 172_800,
    }


def test_dynamodb_is_rendered_as_feast_wants_it(tmp_path: Path) -> None:
    made = store(tmp_path, online={"type": "dynamodb", "region": "eu-west-1"})
    assert online_config(made) == {
        "type": "dynamodb",
        "region": "eu-west-1",
        "endpoint_url": None,
        "consistent_reads": True,
        "table_name_template": "{project}.{table_name}",
    }


def test_warehouses_are_rendered_as_feast_wants_them(tmp_path: Path) -> None:
    assert offline_config(store(tmp_path, offline=BIGQUERY)) == {
        "type": "bigquery",
        "project_id": "acme",
        "dataset": "features",
        "location": "EU",
    }
    assert offline_config(store(tmp_path, offline=SNOWFLAKE)) == {
        **{name: value for name, value in SNOWFLAKE.items() if name != "type"},
        "type": "snowflake.offline",
    }


@pytest.mark.parametrize(
    "block",
    [
        {"online": {"type": "redis"}},
        {"online": {"type": "redis", "url": "http://cache"}},
        {"online": {"type": "redis", "url": "redis://cache/0?socket_timeout=1"}},
        {"online": {"type": "redis", "url": "redis://cache", "key_ttl": "0s"}},
        {"online": {"type": "sqlite", "url": "redis://cache"}},
        {"online": {"type": "dynamodb"}},
        {"online": {"type": "dynamodb", "region": "eu-west-1", "endpoint_url": "localhost"}},
        {"online": {"type": "memcached"}},
        {"registry": {"type": "sql", "url": "mysql://h/db"}},
        {"registry": {"type": "file", "url": "sqlite:///r.db"}},
        {"offline": {"type": "bigquery", "project": "acme"}},
    ],
)
def test_a_block_that_cannot_work_is_refused(block: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FeatureStore.model_validate(block)


def test_a_refusal_does_not_tell_the_password() -> None:
    with pytest.raises(ValidationError) as caught:
        FeatureStore.model_validate({"online": {"type": "redis", "url": "redis://:redis-pw@cache:port"}})
    assert "redis-pw" not in str(caught.value.errors(include_input=False, include_url=False))


def test_no_two_projects_or_environments_share_a_name() -> None:
    pairs = [("a", "b"), ("a__b", "c"), ("a", "b__c"), ("a_", "b"), ("a", "_b"), ("A", "b"), ("a b", "c"), ("a_b", "c"), ("a", "b_c")]  # fmt: skip
    names = [layout.shared_name(*pair) for pair in pairs]
    assert len(set(names)) == len(names)
    assert names[0] == "a__b"


def test_environments_differ_only_where_others_use_the_server_too(tmp_path: Path) -> None:
    ctx = make_context(tmp_path, {"feature_store": {"online": REDIS}}, project="shop")
    prod = replace(ctx, environment="prod", home=tmp_path / ".mlctl" / "prod")
    assert (layout.store_of(ctx).project, layout.store_of(prod).project) == ("shop__default", "shop__prod")


def test_a_key_of_several_columns_is_one_feast_entity_for_each() -> None:
    one, two = Key(name="user", type="int64"), Key(name="item.id", type="string")
    assert entity_names("pair", [one]) == ["pair"]
    assert entity_names("pair", [one, two]) == ["pair.user", "pair.item.id"]


WINDOWS = {"amount": {"aggregate": "sum", "column": "amount", "window": "7d"}}


@pytest.mark.parametrize(
    ("view", "block", "code"),
    [
        ({"features": WINDOWS}, {"offline": BIGQUERY}, "features.windows-in-warehouse"),
        ({"features": WINDOWS, "online": True}, {"online": {**REDIS, "key_ttl": "1d"}}, "features.key-ttl-below-ttl"),
        (
            {"features": WINDOWS, "online": True, "ttl": "2d"},
            {"online": {**REDIS, "key_ttl": "1d"}},
            "features.key-ttl-below-ttl",
        ),
        ({"features": WINDOWS, "online": True, "ttl": "2d"}, {"online": {**REDIS, "key_ttl": "2d"}}, None),
        ({"features": WINDOWS, "ttl": "2d"}, {"online": {**REDIS, "key_ttl": "1d"}}, None),
    ],
)
def test_a_view_that_its_store_cannot_hold_is_refused(
    view: dict[str, Any], block: dict[str, Any], code: str | None
) -> None:
    spec = FeatureViewSpec.model_validate({"entity": "user", "source": "events", **view})
    found = [item.code for item in store_problems(spec, FeatureStore.model_validate(block))]
    assert found == ([] if code is None else [code])
