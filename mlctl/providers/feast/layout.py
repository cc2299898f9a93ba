"""Where the feature store of an environment lies, what things are called in it, and whether they are still there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from mlctl.provider import Context
from mlctl.providers.feast.settings import FeatureStore
from mlctl.types.address import Address, ObjectKey
from mlctl.types.jobs.features import Marks, OfflineStore, OnlineStore, Store
from mlctl.types.ownership import differs
from mlctl.types.value import Json, digest

_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")
_ONLINE_WAIT_SECONDS = 5.0


def folder(ctx: Context) -> Path:
    """The folder of the environment's feature store: its registry, online store, lock and snapshots."""
    return ctx.home / "features"


def store_of(ctx: Context) -> Store:
    """The feature store of the environment, with paths relative to the project folder."""
    settings = FeatureStore.model_validate(ctx.settings.get("feature_store", {}))
    return Store(
        project=feast_name(ctx.project),
        registry=_relative(folder(ctx) / "registry.db", ctx),
        online=OnlineStore(type=settings.online.type, path=_relative(folder(ctx) / "online.db", ctx)),
        offline=OfflineStore(type=settings.offline.type),
    )


def snapshot_of(view: str, ctx: Context) -> str:
    """The parquet file of a view, relative to the project folder."""
    return _relative(folder(ctx) / "offline" / f"{view}.parquet", ctx)


def feast_name(name: str) -> str:
    """A name as Feast and its SQLite tables can hold it: other characters and capitals (SQLite sees none) give way to a digest."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + "_" + digest(name)[:8]


def marks_of(key: ObjectKey, ctx: Context) -> Marks:
    """The marks on what we declare for an object."""
    return Marks(lineage=ctx.lineage, object=str(key))


def has_registry(ctx: Context) -> bool:
    """Whether the environment has a Feast registry."""
    return (ctx.root / store_of(ctx).registry).is_file()


def has_online_table(view: str, ctx: Context) -> bool:
    """Whether the online store has a table for a view."""
    store = store_of(ctx)
    return _online_rows(ctx.root / store.online.path, f"{store.project}_{view}") is not None


def is_registered(key: ObjectKey, ctx: Context) -> bool:
    """Whether the registry holds a view of ours for an object. Its mark is looked for in the bytes, without importing Feast."""
    try:
        return str(key).encode() in (ctx.root / store_of(ctx).registry).read_bytes()
    except FileNotFoundError:
        return False


def mentions(view: str, ctx: Context) -> bool:
    """Whether the registry may hold a view of this name, of whomever."""
    try:
        return view.encode() in (ctx.root / store_of(ctx).registry).read_bytes()
    except FileNotFoundError:
        return False


def expect_name(id: str, name: str, address: Address) -> None:
    """Refuse to take over an object whose name is not the one that the block would give it. Raises MlctlError."""
    if id != name:
        raise differs(f"`{id}`", str(address), [("name", id, name)])


def trouble(key: ObjectKey, outputs: Mapping[str, Json], ctx: Context) -> str | None:
    """What is wrong with a view that was made, by cheap evidence; None when all of it is there."""
    evidence = outputs["evidence"]
    snapshot = ctx.root / outputs["offline"]
    if not snapshot.is_file():
        return "its snapshots are gone"
    if snapshot.stat().st_size != evidence["snapshot_bytes"] or (
        ctx.deep and ctx.digests.file(snapshot) != evidence["snapshot_blake3"]
    ):
        return "its snapshots were changed by something else"
    if not is_registered(key, ctx):
        return "it is not in the Feast registry any more"
    if not outputs["online"]:
        return None
    rows = _online_rows(ctx.root / outputs["store"]["online"]["path"], evidence["online_table"])
    if rows is None:
        return "its online table is gone"
    if rows != evidence["online_rows"]:
        return f"its online table holds {rows:,} of {evidence['online_rows']:,} values"
    return _late(outputs)


def drop_online_table(view: str, ctx: Context) -> None:
    """Remove the online table of a view where there is no registry any more. Gone already is success."""
    store = store_of(ctx)
    path = ctx.root / store.online.path
    if path.is_file():
        import sqlite3

        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"DROP TABLE IF EXISTS {_quote(f'{store.project}_{view}')}")


def _relative(path: Path, ctx: Context) -> str:
    return path.relative_to(ctx.root).as_posix()


def _online_rows(path: Path, table: str) -> int | None:
    """How many values an online table holds; None when there is no such table, or no such file."""
    if not path.is_file():
        return None
    import sqlite3  # entities, and plans of new views, have no use for it

    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=_ONLINE_WAIT_SECONDS)) as connection:
            return int(connection.execute(f"SELECT count(*) FROM {_quote(table)}").fetchone()[0])  # noqa: S608  # the name is quoted
    except sqlite3.DatabaseError:
        return None


def _late(outputs: Mapping[str, Json]) -> str | None:
    """A source that reached into an unfinished step was served up to the step before; by now the step may be over."""
    served, until = (datetime.fromisoformat(text) for text in (outputs["evidence"]["online_until"], outputs["until"]))
    steps = int((min(until, datetime.now(UTC)) - served).total_seconds() // outputs["grid_seconds"])
    return f"its online values are {steps} snapshots behind" if steps > 0 else None


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
