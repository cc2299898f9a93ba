"""Feature views in a shared store: a PostgreSQL registry and a Redis server that two environments use at once.

The tests of this file are one story; each step leaves the servers as the next one wants them.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Condition, Context
from mlctl.providers.feast import evidence
from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView
from mlctl.providers.feast.online import get_online, push_file
from mlctl.testing.harness import apply_once, make_context, make_desired, make_record
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets
from mlctl.types.state import Record
from tests.integration.features import driver
from tests.integration.servers import PASSWORD, Postgres, Redis, postgres, redis

pytestmark = pytest.mark.tools

COLUMNS = {"household_id": "bigint", "product": "varchar", "amount": "double", "bought_at": "timestamp"}
BASKET: dict[str, Any] = {
    "entity": "basket",
    "source": "purchases",
    "ttl": "3650d",
    "online": True,
    "features": {"amount_7d": {"aggregate": "sum", "column": "amount", "window": "7d"}},
}
ROWS = (
    "SELECT (i % 7)::BIGINT AS household_id, 'p' || (i % 3) AS product, i * 0.5 AS amount, "
    "TIMESTAMP '2026-01-01' + INTERVAL (i) HOUR AS bought_at FROM range({}) t(i)"
)


@dataclass
class Servers:
    registry: Postgres
    online: Redis
    root: Path

    def context(self, environment: str = "default", online: dict[str, Any] | None = None) -> Context:
        """The password of the registry is a secret of the project."""
        settings = {
            "feature_store": {
                "registry": {"type": "sql", "url": self.registry.url},
                "online": online or {"type": "redis", "url": self.online.url},
            }
        }
        made = make_context(self.root, settings, project="shop")
        home = self.root / ".mlctl" / environment
        home.mkdir(exist_ok=True)
        return replace(made, environment=environment, home=home, secrets=Secrets({"var.pw": PASSWORD}, b"key"))

    def keys(self) -> list[bytes]:
        import redis as client

        with client.Redis.from_url(self.online.url) as connection:
            return sorted(connection.keys("*"))


@pytest.fixture(scope="module")
def servers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    root = tmp_path_factory.mktemp("project")
    (root / "data").mkdir()
    copies = [
        {"do": "execute", "sql": [f"COPY ({ROWS.format(rows)}) TO 'data/{rows}.parquet' (FORMAT parquet)"]}
        for rows in (200, 15)
    ]
    driver.run(root, copies)
    with postgres() as registry, redis() as online:
        yield Servers(registry, online, root)


def apply(ctx: Context, rows: int, prior: Record | None = None) -> Record:
    """The view over so many rows, as the engine would apply and record it."""
    entity = apply_once(Entity(), "entities.basket", {"keys": {"household_id": "int64", "product": "string"}}, ctx)
    outputs = {
        "files": [f"data/{rows}.parquet"], "format": "parquet", "columns": COLUMNS, "timestamp": "bought_at", "key": [],
        "digest": f"d{rows}",
    }  # fmt: skip
    inputs = {
        "datasets.purchases": Record(ObjectKey.parse("datasets.purchases#1"), "1", outputs=outputs),
        "entities.basket": entity,
    }
    desired = make_desired(FeatureView(), "feature_views.basket_7d", BASKET, ctx, inputs)
    record = make_record(desired, FeatureView().apply(desired, prior, ctx))
    return replace(record, outputs=ctx.secrets.masked(dict(record.outputs)))


def condition(record: Record, ctx: Context) -> tuple[Condition, str] | None:
    seen = FeatureView().read(record, ctx)
    return None if seen is None else (seen.condition, seen.detail)


MADE: dict[str, Record] = {}


def test_a_key_of_two_columns_is_declared_in_a_database_and_served_by_redis(servers: Servers) -> None:
    ctx = servers.context()
    made = MADE["default"] = apply(ctx, 200)
    assert condition(made, ctx) == (Condition.READY, "")
    assert made.outputs["evidence"]["online_keys"] == made.outputs["snapshot_keys"] == 21
    [found, nobody] = get_online(made, ["household_id=3,product=p0", "product=none,household_id=3"], ctx)
    assert found["keys"] == {"household_id": 3, "product": "p0"}
    assert found["features"]["amount_7d"] > 0
    assert nobody["features"] == {"amount_7d": None}
    [registry] = driver.run(servers.root, [{"do": "registry", "store": ctx.secrets.opened(made.outputs["store"])}])
    assert registry["entities"] == {"basket.household_id": "household_id", "basket.product": "product"}
    assert sorted(registry["views"]["basket_7d"]["entities"]) == ["basket.household_id", "basket.product"]


def test_the_password_is_in_no_file(servers: Servers) -> None:
    text = json.dumps(MADE["default"].outputs)
    assert PASSWORD not in text
    assert "${secret:var.pw" in text
    files = [path for path in (servers.root / ".mlctl").rglob("*") if path.is_file()]
    assert [path for path in files if PASSWORD.encode() in path.read_bytes()] == []


def test_another_environment_on_the_same_servers_is_another_store(servers: Servers) -> None:
    ctx, prod = servers.context(), servers.context("prod")
    before = get_online(MADE["default"], ["household_id=3,product=p0"], ctx)
    MADE["prod"] = apply(prod, 15)
    assert MADE["prod"].outputs["evidence"]["online_keys"] == 15
    assert get_online(MADE["default"], ["household_id=3,product=p0"], ctx) == before
    assert get_online(MADE["prod"], ["household_id=3,product=p0"], prod) != before
    assert condition(MADE["default"], ctx) == condition(MADE["prod"], prod) == (Condition.READY, "")


def test_a_push_goes_online_and_is_no_damage(servers: Servers) -> None:
    ctx, made = servers.context(), MADE["default"]
    rows = servers.root / "corrections.csv"
    rows.write_text("household_id,product,event_timestamp,amount_7d\n3,p0,2026-03-01T00:00:00,12.25\n99,new,2026-03-01T00:00:00,1\n3,p1,2025-01-01T00:00:00,1\n")  # fmt: skip
    assert push_file(made, rows, ctx) == {"rows": 3, "written": 2, "older": 1}
    [found, new] = get_online(made, ["household_id=3,product=p0", "household_id=99,product=new"], ctx)
    assert (found["features"], found["event_times"]) == (
        {"amount_7d": 12.25},
        {"basket_7d": "2026-03-01T00:00:00+00:00"},
    )
    assert new["features"] == {"amount_7d": 1.0}
    assert condition(made, ctx) == (Condition.READY, "")
    rows.write_text("household_id,product,event_timestamp,amount_7d\n3,p0,2126-03-01T00:00:00,12.25\n")
    with pytest.raises(MlctlError) as caught:
        push_file(made, rows, ctx)
    assert caught.value.diagnostics[0].code == "features.future-rows"


def test_a_plan_says_that_a_server_is_down_and_an_apply_heals_what_it_lost(
    servers: Servers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evidence, "_down", {})
    ctx, made = servers.context(), MADE["default"]
    servers.online.stop(signal.SIGKILL)
    found = condition(made, ctx)
    assert found is not None
    assert (found[0], f"redis at {servers.online.address}/0 does not answer" in found[1]) == (Condition.BROKEN, True)
    with pytest.raises(MlctlError) as caught:
        apply(ctx, 200)
    assert caught.value.diagnostics[0].code == "features.store-down"
    servers.online.start()
    evidence._down.clear()
    assert condition(made, ctx) == (
        Condition.BROKEN,
        f"its rows in redis at {servers.online.address}/0 are gone",
    )
    MADE["default"] = apply(ctx, 200)
    MADE["prod"] = apply(servers.context("prod"), 15)
    assert condition(MADE["default"], ctx) == (Condition.READY, "")
    assert MADE["default"].outputs["evidence"]["online_written"] == 21


def test_a_view_that_moves_to_another_store_leaves_nothing_behind(servers: Servers) -> None:
    before = servers.keys()
    sqlite = servers.context(online={"type": "sqlite"})
    MADE["default"] = apply(sqlite, 200, MADE["default"])
    assert condition(MADE["default"], sqlite) == (Condition.READY, "")
    left = servers.keys()
    assert left == [key for key in before if key.endswith(b"shop__prod") or key.startswith(b"mlctl:shop__prod:")]
    assert len(left) == 16


def test_deleting_takes_what_is_ours_from_both_servers(servers: Servers) -> None:
    FeatureView().delete(MADE["prod"], servers.context("prod"))
    assert servers.keys() == []
    # Feast keeps an entity `__dummy` of its own in each project
    tables = ("feature_views", "(SELECT * FROM entities WHERE entity_name <> '__dummy') AS e", "data_sources")
    rows = [servers.registry.execute(f"SELECT count(*) FROM {name} WHERE project_id = 'shop__prod'") for name in tables]
    assert rows == [[(0,)]] * 3
    sqlite = servers.context(online={"type": "sqlite"})
    assert condition(MADE["default"], sqlite) == (Condition.READY, "")
    FeatureView().delete(MADE["default"], sqlite)
    assert [servers.registry.execute(f"SELECT count(*) FROM {name}") for name in tables] == [[(0,)]] * 3
