"""Content digests of files (BLAKE3), remembered by what `stat` says so that an unchanged file is not read again."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.types.value import digest

# A file changed this shortly before it was digested may change again within the same tick of its clock; it is not remembered.
_RACY_NANOSECONDS = 2_000_000_000


class FileDigests:
    """Digests by path. The cache holds (size, mtime, ctime, inode) beside each digest and is only ever an accelerator."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache_path = cache
        self._lock = threading.Lock()
        self._entries: dict[str, Any] | None = None
        self._dirty = False

    def file(self, path: Path) -> str:
        """The BLAKE3 digest of one file's bytes, 64 hex digits. Raises OSError."""
        status = path.stat()
        stamp = [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]
        name = str(path.absolute())
        with self._lock:
            known = self._load().get(name)
        if known is not None and _is_entry(known) and known[0] == stamp:
            return str(known[1])
        from blake3 import blake3

        value = blake3().update_mmap(path).hexdigest() if status.st_size else blake3().hexdigest()
        if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _RACY_NANOSECONDS:
            with self._lock:
                self._load()[name] = [stamp, value]
                self._dirty = True
        return value

    def tree(self, paths: Sequence[Path], root: Path) -> str:
        """One digest for a set of files: names relative to `root` and contents; the order given does not matter. Raises OSError."""
        return digest(sorted([path.relative_to(root).as_posix(), self.file(path)] for path in paths))

    def save(self) -> None:
        """Keep what was learnt for the next command. A cache that cannot be written is not an error."""
        with self._lock:
            if not self._dirty or self._cache_path is None or self._entries is None:
                return
            try:
                self._cache_path.parent.mkdir(parents=True, exist_ok=True)
                sound = {name: entry for name, entry in self._entries.items() if _is_entry(entry)}
                atomic.write_json(self._cache_path, sound)
            except OSError:
                return
            self._dirty = False

    def _load(self) -> dict[str, Any]:
        if self._entries is None:
            self._entries = {}
            if self._cache_path is not None:
                try:
                    stored = json.loads(self._cache_path.read_bytes())
                    self._entries = stored if isinstance(stored, dict) else {}
                except (OSError, ValueError, RecursionError):  # too deep to be ours
                    self._entries = {}
        return self._entries


def _is_entry(value: Any) -> bool:
    """Whether a value from the cache is one that we wrote: `[[size, mtime, ctime, inode], digest]`."""
    if not (isinstance(value, list) and len(value) == 2 and isinstance(value[0], list) and isinstance(value[1], str)):
        return False
    return len(value[0]) == 4 and all(type(number) is int for number in value[0])
