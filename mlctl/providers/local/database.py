"""Datasets in databases: what is to be copied, and which version of it is there now."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from mlctl.databases import look, sql
from mlctl.processes.environment import worker_environment
from mlctl.provider import Context
from mlctl.providers.local.spec_database import File, Server, Watermark
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.copy import DatabaseCopy
from mlctl.types.secret import HIDDEN
from mlctl.types.value import digest

_LOGS = {"sqlite": ("-wal", "-journal"), "duckdb": (".wal",)}  # files beside the database that hold a part of it
_ASK_SECONDS = 600.0
_LONG = 40  # characters of a query that a plan shows


def files_of(source: File, ctx: Context) -> list[str]:
    """The files that hold a database, project-relative: itself, and what was not put into it yet. Raises MlctlError."""
    path = ctx.path(source.path)
    if not path.is_file():
        raise MlctlError.of(
            "data.missing-file",
            f"there is no file `{source.path}`",
            f"it is to be a database of {source.type}",
            "write it first, or correct `database.path`",
        )
    beside = [f"{source.path}{suffix}" for suffix in _LOGS[source.type]]
    return [source.path, *(name for name in beside if _size(ctx.root / name))]


def copy_of(
    source: File | Server, key: Sequence[str], *, version: str | None = None, target: str | None
) -> DatabaseCopy:
    """What the worker program is asked to copy, or to look at."""
    watermark = getattr(source, "version", None)
    return DatabaseCopy(
        type=source.type,
        connection=source.connection,
        relation=relation(source),
        order=list(key),
        watermark=watermark.watermark if isinstance(watermark, Watermark) else None,
        version=version,
        target=target,
    )


def relation(source: File | Server) -> str:
    """The table or query as the database's SQL has it."""
    return sql.query(source.query) if source.query is not None else sql.table(source.type, str(source.table))


def server_parts(source: Server, ctx: Context) -> dict[str, str]:
    """The version and the columns that are there now. Asks the database; raises MlctlError when it cannot be reached."""
    asked = copy_of(source, (), target=None)
    found = look.look(asked) if source.type == "postgres" else _asked_by_program(asked, ctx)
    name = _shown(source)
    return {f"rows:{name}": found.version, f"columns:{name}": digest(list(found.columns.items()))}


def planned_version(parts: Mapping[str, Any]) -> str | None:
    """The version that the parts of a content key hold; None of a file."""
    return next((str(part) for name, part in parts.items() if name.startswith("rows:")), None)


def password_problems(source: Server, ctx: Context) -> list[Diagnostic]:
    """A password that is written out would stand in the state, in plans and in job files."""
    return [
        Diagnostic(
            "data.plain-password",
            f"the `{field}` holds a password that is not kept secret",
            "mlctl only hides values that come from a sensitive variable or from the environment, and have eight characters",
            "take the whole of it from a variable with `sensitive: true`, as `${var.NAME}`",
            path=("database", field),
        )
        for field, text in source.connection.items()
        for secret in _secrets_in(field, text)
        if HIDDEN not in text and ctx.secrets.hidden(text).find(secret) >= 0  # one that is not set is told as that
    ][:1]


def _secrets_in(field: str, text: str) -> list[str]:
    """What of a connection's value is a password."""
    if text.startswith("${"):
        return []  # an output that is still to come
    if field in ("password", "private_key_file_pwd", "token"):
        return [text]
    if field != "url":
        return []
    try:
        parts = urlsplit(text)
        inside = [parts.password or ""] if "://" in text else []
        asked = [value for name, value in parse_qsl(parts.query) if name in ("password", "sslpassword")]
    except ValueError:
        return []
    words = [word.partition("=")[2].strip("'") for word in text.split() if word.startswith("password=")]
    plain = [item for item in (*inside, *asked, *words) if item]
    return [*plain, *(unquote(item) for item in plain if unquote(item) != item)]


def _asked_by_program(asked: DatabaseCopy, ctx: Context) -> look.Look:
    """The same by a process of its own: the client imports pandas."""
    command = [sys.executable, "-m", "mlctl.databases.look"]
    try:
        done = subprocess.run(
            command, input=asked.model_dump_json(), capture_output=True, text=True, timeout=_ASK_SECONDS, check=False,
            cwd=ctx.root, env=worker_environment(),
        )  # fmt: skip
        return look.answered(done.stdout.splitlines()[-1])
    except (subprocess.TimeoutExpired, IndexError, json.JSONDecodeError):
        raise MlctlError.of(
            "data.database-failed",
            f"{asked.type} gave no answer",
            f"its client ended, or took longer than {_ASK_SECONDS:g} s",
            "see the network and the names under `database`, then run the command again",
        ) from None


def _shown(source: File | Server) -> str:
    """The table by name; a query by its beginning."""
    if source.table is not None:
        return source.table
    words = " ".join(str(source.query).split())
    return words if len(words) <= _LONG else f"{words[:_LONG]}..."


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
