"""One question to a registry in SQLite, asked without importing MLflow."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path


def aliased_version(database: Path, name: str, alias: str) -> str | None:
    """The version that an alias points at, or None when there is no such alias, version or database."""
    query = (
        "SELECT a.version FROM registered_model_aliases a JOIN model_versions v ON v.name = a.name AND v.version = a.version"
        " WHERE a.name = ? AND a.alias = ? AND v.current_stage != 'Deleted_Internal'"
    )
    if not database.exists():
        return None
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as connection:
            row = connection.execute(query, (name, alias)).fetchone()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])
