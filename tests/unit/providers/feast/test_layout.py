"""Names, places, and the cheap evidence that a view is still whole."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from mlctl.files.digests import FileDigests
from mlctl.provider import Condition, Context
from mlctl.providers.feast import layout
from mlctl.providers.feast.feature_view import FeatureView
from mlctl.testing.harness import make_context
from mlctl.types.address import ObjectKey
from mlctl.types.state import Record

KEY = ObjectKey.parse("feature_views.shopping#")


@pytest.mark.parametrize("name", ["shopping", "user_activity_7d", "a-b", "7days"])
def test_plain_names_stay(name: str) -> None:
    assert layout.feast_name(name) == name


def test_other_names_are_kept_apart() -> None:
    names = ["Shop", "shop", "SHOP", "_shop", 'shop["a=1"]', 'shop["a=2"]', "shop_a_1"]
    made = [layout.feast_name(name) for name in names]
    assert len({name.lower() for name in made}) == len(names)
    assert all(name[0].isalnum() and '"' not in name for name in made)


def test_paths_are_relative_to_the_project(tmp_path: Path) -> None:
    store = layout.store_of(make_context(tmp_path, {"feature_store": {"online": {"type": "sqlite"}}}))
    assert store.registry == ".mlctl/default/features/registry.db"
    assert store.online.path == ".mlctl/default/features/online.db"


@pytest.fixture
def ctx(tmp_path: Path) -> Context:
    return make_context(tmp_path)


@pytest.fixture
def made(ctx: Context) -> Record:
    """The files that a view of one key and two features leaves behind."""
    store = layout.store_of(ctx)
    snapshot = ctx.root / layout.snapshot_of("shopping", ctx)
    snapshot.parent.mkdir(parents=True)
    snapshot.write_bytes(b"snapshots")
    (ctx.root / store.registry).write_bytes(b"\x0a\x08 feature_views.shopping# \x00")
    with closing(sqlite3.connect(ctx.root / store.online.path)) as connection, connection:
        connection.execute('CREATE TABLE "test_shopping" (entity_key BLOB, feature_name TEXT)')
        connection.executemany('INSERT INTO "test_shopping" VALUES (?, ?)', [(b"1", "a"), (b"1", "b")])
    until = datetime(2026, 1, 3, tzinfo=UTC).isoformat()
    outputs: dict[str, Any] = {
        "view": "shopping",
        "offline": layout.snapshot_of("shopping", ctx),
        "online": True,
        "store": store.model_dump(mode="json"),
        "until": until,
        "grid_seconds": 86400,
        "evidence": {
            "snapshot_bytes": 9,
            "snapshot_blake3": FileDigests().file(snapshot),
            "online_table": "test_shopping",
            "online_rows": 2,
            "online_until": until,
        },
    }
    return Record(KEY, "shopping", outputs=outputs)


def test_a_whole_view_is_ready(made: Record, ctx: Context) -> None:
    seen = FeatureView().read(made, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.READY, "")


def test_a_view_without_snapshots_is_gone(made: Record, ctx: Context) -> None:
    (ctx.root / made.outputs["offline"]).unlink()
    assert FeatureView().read(made, ctx) is None


def _execute(ctx: Context, statement: str) -> None:
    with closing(sqlite3.connect(ctx.root / layout.store_of(ctx).online.path)) as connection, connection:
        connection.execute(statement)


DAMAGE: dict[str, Callable[[Context], object]] = {
    "its snapshots were changed by something else": lambda ctx: (
        ctx.root / layout.snapshot_of("shopping", ctx)
    ).write_bytes(b"less"),
    "it is not in the Feast registry any more": lambda ctx: (ctx.root / layout.store_of(ctx).registry).write_bytes(
        b"feature_views.shopping_2#"
    ),
    "its online table is gone": lambda ctx: _execute(ctx, "DROP TABLE test_shopping"),
    "its online table holds 0 of 2 values": lambda ctx: _execute(ctx, "DELETE FROM test_shopping"),
}


@pytest.mark.parametrize("detail", DAMAGE)
def test_damage_is_seen(detail: str, made: Record, ctx: Context) -> None:
    DAMAGE[detail](ctx)
    seen = FeatureView().read(made, ctx)
    assert seen is not None
    assert (seen.condition, seen.detail) == (Condition.BROKEN, detail)


def test_a_missing_registry_and_a_missing_online_store_are_seen(made: Record, ctx: Context) -> None:
    (ctx.root / layout.store_of(ctx).online.path).unlink()
    assert layout.trouble(KEY, made.outputs, ctx) == "its online table is gone"
    (ctx.root / layout.store_of(ctx).registry).unlink()
    assert layout.trouble(KEY, made.outputs, ctx) == "it is not in the Feast registry any more"


def test_a_file_that_is_no_database_is_a_table_that_is_gone(made: Record, ctx: Context) -> None:
    (ctx.root / layout.store_of(ctx).online.path).write_bytes(b"not a database at all" * 100)
    assert layout.trouble(KEY, made.outputs, ctx) == "its online table is gone"


def test_only_a_deep_look_sees_a_change_of_equal_size(made: Record, ctx: Context) -> None:
    (ctx.root / made.outputs["offline"]).write_bytes(b"snapshotz")
    assert layout.trouble(KEY, made.outputs, ctx) is None
    assert layout.trouble(KEY, made.outputs, replace(ctx, deep=True)) == "its snapshots were changed by something else"


def test_the_online_table_of_a_view_that_is_not_served_does_not_matter(made: Record, ctx: Context) -> None:
    _execute(ctx, "DROP TABLE test_shopping")
    assert layout.trouble(KEY, {**made.outputs, "online": False}, ctx) is None


def test_a_step_that_was_unfinished_and_is_over_now_is_owed(made: Record, ctx: Context) -> None:
    now = datetime.now(UTC)
    outputs = {**made.outputs, "until": (now + timedelta(hours=5)).isoformat()}
    evidence = {**made.outputs["evidence"], "online_until": (now - timedelta(hours=19)).isoformat()}
    assert layout.trouble(KEY, {**outputs, "evidence": evidence}, ctx) is None  # the step ends in five hours
    evidence["online_until"] = (now - timedelta(hours=30)).isoformat()
    assert layout.trouble(KEY, {**outputs, "evidence": evidence}, ctx) == "its online values are 1 snapshots behind"


def test_deleting_what_is_gone_starts_no_program(ctx: Context) -> None:
    FeatureView().delete(Record(KEY), ctx)  # apply was cut off before it made anything
    assert not ctx.folder(KEY).exists()


def test_deleting_without_a_registry_removes_table_and_snapshots(made: Record, ctx: Context) -> None:
    store = layout.store_of(ctx)
    (ctx.root / store.registry).unlink()
    FeatureView().delete(made, ctx)
    assert not (ctx.root / made.outputs["offline"]).exists()
    with closing(sqlite3.connect(ctx.root / store.online.path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    FeatureView().delete(made, ctx)
