"""Questions to a registry in SQLite, asked without importing MLflow."""

# ruff: noqa: S608 (queries are put together from text of our own only)

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path
from typing import Any

from mlctl.types.jobs.tracking import OBJECT_TAG

_LIVE = "v.current_stage != 'Deleted_Internal'"  # MLflow keeps the rows of deleted versions


def aliased_version(database: Path, name: str, alias: str) -> str | None:
    """The version that an alias points at, or None when there is no such alias, version or database."""
    query = (
        "SELECT a.version FROM registered_model_aliases a JOIN model_versions v ON v.name = a.name AND v.version = a.version"
        f" WHERE a.name = ? AND a.alias = ? AND {_LIVE}"
    )
    try:
        row = _first(database, query, name, alias)
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def may_hold(database: Path, name: str, key: str) -> bool:
    """Whether a registered model may hold versions of an object, or nothing at all. A registry that cannot be read may."""
    version = (
        "SELECT 1 FROM model_version_tags t JOIN model_versions v ON v.name = t.name AND v.version = t.version"
        f" WHERE t.name = ? AND t.key = ? AND t.value = ? AND {_LIVE}"
    )
    empty = (
        "SELECT 1 FROM registered_models m WHERE m.name = ?"
        f" AND NOT EXISTS (SELECT 1 FROM model_versions v WHERE v.name = m.name AND {_LIVE})"
    )
    try:
        return any((_first(database, version, name, OBJECT_TAG, key), _first(database, empty, name)))
    except sqlite3.Error:
        return True


def _first(database: Path, query: str, *arguments: str) -> Any:
    """The first row of a query, or None. Raises sqlite3.Error."""
    if not database.exists():
        return None
    with contextlib.closing(sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)) as registry:
        return registry.execute(query, arguments).fetchone()
