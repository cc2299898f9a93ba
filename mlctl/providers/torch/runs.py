"""One question to a tracking store in SQLite, asked without importing MLflow."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from mlctl.types.jobs.tracking import OBJECT_TAG


def may_have_runs(database: Path, key: str) -> bool:
    """Whether an object may have runs that are not deleted. A store that cannot be read may have any."""
    query = (
        "SELECT 1 FROM tags t JOIN runs r ON r.run_uuid = t.run_uuid"
        " WHERE t.key = ? AND t.value = ? AND r.lifecycle_stage = 'active' LIMIT 1"
    )
    if not database.exists():
        return False
    try:
        with contextlib.closing(
            sqlite3.connect(f"{database.resolve().as_uri()}?mode=ro", uri=True, timeout=5)
        ) as store:
            return store.execute(query, (OBJECT_TAG, key)).fetchone() is not None
    except sqlite3.Error:
        return True
