"""Addresses of feature stores: how people may read them, and how Feast wants them written. Pure; the URLs may hold passwords."""

from __future__ import annotations

import json
from urllib.parse import SplitResult, unquote, urlsplit

STAMP_ITEM = "mlctl.stamp"  # in a DynamoDB table, among ids that are 32 hex digits
REDIS_SCHEMES = ("redis", "rediss")
SQL_SCHEMES = ("postgresql", "sqlite")
_REDIS_PORT = 6379


def redis_problem(url: str) -> str | None:
    """Why a URL cannot be that of a Redis server; None when it can."""
    try:
        parts = _split(url)
        port_and_database = parts.port, int(parts.path.strip("/") or "0")
    except ValueError:
        return "its port or its database is no number; special characters of a password are written as %40 and the like"
    if parts.scheme not in REDIS_SCHEMES or not parts.hostname:
        return "it does not begin with `redis://HOST` or `rediss://HOST`"
    if port_and_database[1] < 0:
        return "its database is below 0"
    if parts.query or parts.fragment:
        return "options and fragments have no effect in it; special characters of a password are written as %3F and %23"
    return None


def redis_address(url: str) -> str:
    """`host:port/database`, without who logs in."""
    parts = _split(url)
    return f"{parts.hostname}:{parts.port or _REDIS_PORT}/{int(parts.path.strip('/') or '0')}"


def redis_connection(url: str) -> str:
    """As Feast wants it: `host:port,db=0,ssl=true,username=...,password=...`, its values as JSON, since Feast reads them as that."""
    parts = _split(url)
    options: dict[str, object] = {"db": int(parts.path.strip("/") or "0")}
    if parts.scheme == "rediss":
        options["ssl"] = True
    if parts.username:
        options["username"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    written = [f"{name}={json.dumps(value)}" for name, value in options.items()]
    return ",".join([f"{parts.hostname}:{parts.port or _REDIS_PORT}", *written])


def sql_problem(url: str) -> str | None:
    """Why a URL cannot be that of a registry; None when it can."""
    try:
        parts = _split(url)
        _ = parts.port
    except ValueError:
        return "its port is no number; special characters of a password are written as %40 and the like"
    if parts.scheme.partition("+")[0] not in SQL_SCHEMES:
        return "it begins neither with `postgresql://` nor with `sqlite:///`"
    if parts.scheme == "sqlite":
        plain = len(parts.path) > 1 and not parts.netloc and not parts.query and not parts.fragment
        return None if plain else "an SQLite registry is a file, without options: `sqlite:///PATH`"
    if parts.scheme not in ("postgresql", "postgresql+psycopg"):
        return "PostgreSQL is spoken to through psycopg: `postgresql://` or `postgresql+psycopg://`"
    return None if parts.hostname and parts.path.strip("/") else "it names no host or no database"


def sql_address(url: str) -> str:
    """The URL without who logs in."""
    parts = _split(url)
    if parts.scheme == "sqlite":
        return url
    port = f":{parts.port}" if parts.port else ""
    return f"postgresql at {parts.hostname}{port}/{parts.path.strip('/')}"


def sqlite_file(url: str) -> str | None:
    """The file of an SQLite registry, relative to the project folder unless it is absolute; None for a server."""
    return url.removeprefix("sqlite:///") if url.startswith("sqlite:///") else None


def sql_path(url: str) -> str:
    """The URL with the driver that is installed in it."""
    return url.replace("postgresql://", "postgresql+psycopg://", 1) if url.startswith("postgresql://") else url


def stamp_key(project: str, view: str) -> str:
    """Where the stamp of a view is on a Redis server: no key of Feast's begins like this."""
    return f"mlctl:{project}:{view}"


def dynamo_table(project: str, view: str) -> str:
    """The DynamoDB table of a view, as Feast calls it too."""
    return f"{project}.{view}"


def _split(url: str) -> SplitResult:
    return urlsplit(url)
