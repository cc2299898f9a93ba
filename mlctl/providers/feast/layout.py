"""Where the feature store of an environment lies, what things are called in it, and whether they are still there."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from mlctl.files import event_log
from mlctl.provider import Context
from mlctl.providers.feast import evidence as looking
from mlctl.providers.feast.settings import Bigquery, Dynamodb, FeatureStore, Redis, Snowflake, SqlRegistry
from mlctl.types.address import Address, ObjectKey
from mlctl.types.jobs.features import (
    BigqueryOffline,
    DuckdbOffline,
    DynamoOnline,
    Marks,
    OfflineStore,
    OnlineStore,
    RedisOnline,
    SnowflakeOffline,
    SqliteOnline,
    Store,
    StreamLog,
)
from mlctl.types.jobs.stream import log_folder
from mlctl.types.ownership import differs
from mlctl.types.state import Record
from mlctl.types.value import Json, digest

_PLAIN_NAME = re.compile(r"[a-z0-9][a-z0-9_-]*")


def folder(ctx: Context) -> Path:
    """The folder of the environment's feature store: its registry, online store, lock and snapshots."""
    return ctx.home / "features"


def settings_of(ctx: Context) -> FeatureStore:
    """The block `feature_store` of the project."""
    return FeatureStore.model_validate(ctx.settings.get("feature_store", {}))


def store_of(ctx: Context) -> Store:
    """The feature store of the environment, with paths relative to the project folder."""
    settings = settings_of(ctx)
    registry = settings.registry
    return Store(
        project=shared_name(ctx.project, ctx.environment) if settings.shared else feast_name(ctx.project),
        registry=registry.url if isinstance(registry, SqlRegistry) else _relative(folder(ctx) / "registry.db", ctx),
        online=_online(settings, ctx),
        offline=_offline(settings),
    )


def _online(settings: FeatureStore, ctx: Context) -> OnlineStore:
    online = settings.online
    if isinstance(online, Redis):
        return RedisOnline(url=online.url, key_ttl_seconds=None if online.key_ttl is None else int(online.key_ttl))
    if isinstance(online, Dynamodb):
        return DynamoOnline(region=online.region, endpoint_url=online.endpoint_url)
    return SqliteOnline(path=_relative(folder(ctx) / "online.db", ctx))


def _offline(settings: FeatureStore) -> OfflineStore:
    offline = settings.offline
    if isinstance(offline, Bigquery):
        return BigqueryOffline.model_validate(offline.model_dump())
    if isinstance(offline, Snowflake):
        return SnowflakeOffline.model_validate(offline.model_dump())
    return DuckdbOffline()


def snapshot_of(view: str, ctx: Context) -> str:
    """The parquet file of a view, relative to the project folder."""
    return _relative(folder(ctx) / "offline" / f"{view}.parquet", ctx)


def stream_log(view: str, ctx: Context) -> StreamLog | None:
    """What a stream has brought for a view so far; None when there never was one."""
    folder = log_folder(snapshot_of(view, ctx), view)
    events = event_log.count(ctx.root / folder)
    return StreamLog(folder=folder, events=events) if events else None


def feast_name(name: str) -> str:
    """A name as Feast and its SQLite tables can hold it: other characters and capitals (SQLite sees none) give way to a digest."""
    if _PLAIN_NAME.fullmatch(name):
        return name
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_") + "_" + digest(name)[:8]


def shared_name(project: str, environment: str) -> str:
    """What a project is called on servers that others use too: two environments, or two projects, are never called the same."""
    parts = feast_name(project), feast_name(environment)
    joined = "__".join(parts)
    plain = not any("__" in part or part.endswith("_") or part.startswith("_") for part in parts)
    return joined if plain else f"{joined}_{digest([project, environment])[:8]}"


def marks_of(key: ObjectKey, ctx: Context) -> Marks:
    """The marks on what we declare for an object."""
    return Marks(lineage=ctx.lineage, object=str(key))


def has_registry(ctx: Context) -> bool:
    """Whether the environment may have a Feast registry; a database is there for everybody."""
    store = store_of(ctx)
    return not store.registry_is_file or (ctx.root / store.registry).is_file()


def made_in(prior: Record, ctx: Context) -> Store:
    """The store that an object was made in, which the settings may not name any more; of one that was cut off, the one they name."""
    recorded = prior.outputs.get("store")
    try:
        return Store.model_validate(recorded)
    except ValueError:
        return store_of(ctx)


def may_be_there(key: ObjectKey, view: str, store: Store, ctx: Context) -> bool:
    """Whether something of a view may be in a registry or online: then a worker has to look. Never raises."""
    if not store.registry_is_file or not isinstance(store.online, SqliteOnline):
        return True
    if not (ctx.root / store.registry).is_file():
        return False
    table = looking.sqlite_rows(ctx.root / store.online.path, f"{store.project}_{view}")
    return (
        table is not None
        or looking.declared(store, ctx.root, view, str(key))
        or looking.mentioned(store, ctx.root, view)
    )


def expect_name(id: str, name: str, address: Address) -> None:
    """Refuse to take over an object whose name is not the one that the block would give it. Raises MlctlError."""
    if id != name:
        raise differs(f"`{id}`", str(address), [("name", id, name)])


def trouble(key: ObjectKey, outputs: Mapping[str, Json], ctx: Context) -> str | None:
    """What is wrong with a view that was made, by cheap evidence; None when all of it is there, as far as it can be told."""
    evidence = outputs["evidence"]
    snapshot = ctx.root / outputs["offline"]
    if not snapshot.is_file():
        return "its snapshots are gone"
    if snapshot.stat().st_size != evidence["snapshot_bytes"] or (
        ctx.deep and ctx.digests.file(snapshot) != evidence["snapshot_blake3"]
    ):
        return "its snapshots were changed by something else"
    if ctx.secrets.missing(outputs["store"]):
        return None  # nobody can look without the password, and commands that only look work without it
    store = Store.model_validate(ctx.secrets.opened(outputs["store"]))
    try:
        if not looking.declared(store, ctx.root, outputs["view"], str(key)):
            return "it is not in the Feast registry any more"
        found = looking.online_trouble(store, ctx.root, outputs["view"], evidence) if outputs["online"] else None
    except looking.Unreachable as error:
        return str(error)
    return found or _unread(outputs, ctx) or (_late(outputs) if outputs["online"] else None)


def _unread(outputs: Mapping[str, Json], ctx: Context) -> str | None:
    """Events of a stream that were asked for since, by `mlctl features materialize`."""
    wanted = event_log.asked(ctx.root / log_folder(outputs["offline"], outputs["view"]))
    missing = wanted - outputs["evidence"].get("stream_events", 0)
    return f"{missing:,} events of its stream are not in its snapshots" if missing > 0 else None


def drop_online_table(view: str, ctx: Context) -> None:
    """Remove the online table of a view where there is no registry any more. Gone already is success."""
    store = store_of(ctx)
    if isinstance(store.online, SqliteOnline) and (path := ctx.root / store.online.path).is_file():
        import sqlite3

        with closing(sqlite3.connect(path)) as connection, connection:
            connection.execute(f"DROP TABLE IF EXISTS {_quote(f'{store.project}_{view}')}")


def _relative(path: Path, ctx: Context) -> str:
    return path.relative_to(ctx.root).as_posix()


def _late(outputs: Mapping[str, Json]) -> str | None:
    """A source that reached into an unfinished step was served up to the step before; by now the step may be over."""
    evidence, now = outputs["evidence"], datetime.now(UTC)
    if not outputs["grid_seconds"]:
        following = evidence.get("online_next")
        known = following is not None and datetime.fromisoformat(following) <= now
        return "rows that were dated ahead are known by now" if known else None
    served, until = (datetime.fromisoformat(text) for text in (evidence["online_until"], outputs["until"]))
    steps = int((min(until, now) - served).total_seconds() // outputs["grid_seconds"])
    return f"its online values are {steps} snapshots behind" if steps > 0 else None


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
