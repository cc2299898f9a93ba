"""Write files so that a reader sees the old bytes or the new ones, never a part, whatever is killed and when; and read what was written so."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import Any


def write_bytes(path: Path, data: bytes, *, mode: int = 0o600) -> None:
    """Replace a file: temporary file beside it, fsync, rename, fsync of the folder. Raises OSError; the old file then stays."""
    handle, temporary = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fchmod(stream.fileno(), mode)
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException as error:
        Path(temporary).unlink(missing_ok=True)
        if isinstance(error, OSError) and error.filename is None:  # a write or a sync knows only its handle
            error.filename = str(path)
        raise
    sync_folder(path.parent)


def write_json(path: Path, value: Any, *, mode: int = 0o600) -> None:
    """Replace a file by the JSON text of a value. Raises OSError, TypeError for what JSON cannot hold, ValueError for NaN."""
    write_bytes(
        path,
        (json.dumps(value, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n").encode(
            "utf-8", "surrogatepass"
        ),
        mode=mode,
    )


def read_object(path: Path) -> dict[str, Any] | None:
    """A JSON object, or None when there is none yet. Files are swapped in whole, so what is there can be read."""
    try:
        stored = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return stored if isinstance(stored, dict) else None


def sync_folder(folder: Path) -> None:
    """Make renames inside a folder durable."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
