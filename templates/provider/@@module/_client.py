"""The only file that talks to the tool. A tool that is slow to import is imported inside the functions that need it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

from mlctl.types.diagnostic import MlctlError

from @@module.render import Entry

_TABLE = (
    "CREATE TABLE IF NOT EXISTS entries"
    " (name TEXT PRIMARY KEY, title TEXT, link TEXT, labels TEXT, rows INTEGER, mark TEXT)"
)
_PUT = (
    "INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (name) DO UPDATE SET"
    " title = excluded.title, link = excluded.link, labels = excluded.labels, rows = excluded.rows"
    " WHERE entries.mark = excluded.mark"
)


def find(path: Path, name: str) -> Entry | None:
    """The entry of a name. Opens read-only, so that looking makes no file."""
    if not path.exists():
        return None
    with _open(path, "ro") as database:
        if database.execute("SELECT count(*) FROM sqlite_master WHERE name = 'entries'").fetchone() == (0,):
            return None
        row = database.execute("SELECT * FROM entries WHERE name = ?", (name,)).fetchone()
    return None if row is None else Entry(row[0], row[1], row[2], tuple(json.loads(row[3])), row[4], row[5])


def put(path: Path, entry: Entry) -> bool:
    """Add the entry, or change the one of its name if it has the same mark. False when that is somebody else's."""
    path.parent.mkdir(parents=True, exist_ok=True)
    values = (entry.name, entry.title, entry.link, json.dumps(entry.labels), entry.rows, entry.mark)
    with _open(path, "rwc") as database, database:
        database.execute(_TABLE)
        return database.execute(_PUT, values).rowcount == 1


def sign(path: Path, entry: Entry) -> bool:
    """Put the mark of an entry on the row of its name, if that is exactly it and has no mark or the same."""
    labels = json.dumps(entry.labels)
    with _open(path, "rw") as database, database:
        found = database.execute(
            "UPDATE entries SET mark = ?1 WHERE name = ?2 AND title = ?3 AND link = ?4 AND labels = ?5"
            " AND mark IN ('', ?1)",
            (entry.mark, entry.name, entry.title, entry.link, labels),
        )
        return found.rowcount == 1


def remove(path: Path, name: str, mark: str) -> None:
    """Remove an entry that has the mark; gone already is fine."""
    if find(path, name) is not None:
        with _open(path, "rw") as database, database:
            database.execute("DELETE FROM entries WHERE name = ? AND mark = ?", (name, mark))


@contextmanager
def _open(path: Path, mode: str) -> Iterator[sqlite3.Connection]:
    """A connection, with the tool's errors in words that say what to do."""
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode={mode}", uri=True, timeout=20)) as database:
            yield database
    except sqlite3.Error as error:
        raise MlctlError.of(
            "@@settings.unreachable",
            f"the catalogue {path.name} cannot be used: {error}",
            "it is a SQLite database, named by `path` of the block `@@settings`",
            "check the file, or name another",
        ) from None
