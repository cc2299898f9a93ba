"""Advisory locks that the operating system lets go of when their holder dies."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

# A lock may be out of reach for a moment without a holder: somebody looks at it, or a process that is just being started
# has yet to close its copy. Only what is held for longer than this is held.
_TRIES, _PAUSE_SECONDS = 20, 0.005


class FileLock:
    """An exclusive flock on a file. The file stays; only the lock comes and goes, so a kill leaves nothing to clean up."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._handle: int | None = None

    def acquire(self, *, blocking: bool = False) -> bool:
        """Take the lock; False when another process holds it and `blocking` is not asked for. Raises OSError."""
        while True:
            handle = os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                if blocking:
                    fcntl.flock(handle, fcntl.LOCK_EX)
                elif not _take(handle):
                    os.close(handle)
                    return False
            except BaseException:
                os.close(handle)
                raise
            if _is_at(handle, self.path):
                self._handle = handle
                return True
            os.close(handle)  # the file was taken away between opening and locking it: that lock is nobody's

    def release(self) -> None:
        """Let go, if held."""
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    @property
    def valid(self) -> bool:
        """Whether the lock is held on the file that others lock too: somebody may have put a new file in its place."""
        return self._handle is not None and _is_at(self._handle, self.path)

    @property
    def handle(self) -> int:
        """The open file, to hand the lock on to a child process. Raises ValueError when the lock is not held."""
        if self._handle is None:
            raise ValueError("the lock is not held")
        return self._handle


def _take(handle: int) -> bool:
    """Lock an open file; False when it stays locked by another."""
    for _ in range(_TRIES):
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return True
        except BlockingIOError:
            time.sleep(_PAUSE_SECONDS)
    return False


def _is_at(handle: int, path: Path) -> bool:
    """Whether an open file is the one that stands at a path now."""
    try:
        there = path.stat()
    except OSError:
        return False
    mine = os.fstat(handle)
    return (there.st_dev, there.st_ino) == (mine.st_dev, mine.st_ino)


def is_locked(path: Path) -> bool:
    """Whether some process holds the lock on a file right now. A file that does not exist is not locked.

    The question is asked with a shared lock, so that two who ask at once do not take each other for the holder.
    """
    try:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    try:
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(handle)
    return False
