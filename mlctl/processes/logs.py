"""Logs of programs that run for years: when one is long, its beginning goes into a second file, and what was there before goes."""

from __future__ import annotations

import os
import shutil
from contextlib import suppress
from pathlib import Path

MOST_BYTES = 10_000_000
OLD_SUFFIX = ".old.txt"  # of `log.txt`: the part before, `log.old.txt`
_PART = ".part"


def cap(path: Path, most: int = MOST_BYTES) -> bool:
    """Begin a log anew when it has more than so many bytes; what it had is beside it then. Gives whether that was done.

    The file stays the same, since programs and their children write to it who cannot be told of another one; all of them
    append, so that they go on at its new end. A kill at any moment leaves what was there, at worst twice. Raises OSError when
    the disk refuses: the log is whole then.
    """
    try:
        if path.stat().st_size <= most:
            return False
    except FileNotFoundError:
        return False
    old = path.with_suffix(OLD_SUFFIX)
    part = old.with_name(old.name + _PART)
    try:
        with path.open("r+b") as log, open(part, "wb", opener=_private) as copy:
            shutil.copyfileobj(log, copy)
            copy.flush()
            os.fsync(copy.fileno())
            os.replace(part, old)
            shutil.copyfileobj(
                log, copy
            )  # written meanwhile: between this and the next line there is no more than an instant
            log.truncate(0)
    except OSError:
        with suppress(OSError):
            part.unlink(missing_ok=True)
        raise
    return True


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
