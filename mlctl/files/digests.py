"""Content digests of files (BLAKE3), remembered by what `stat` says so that an unchanged file is not read again."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from mlctl.files import atomic
from mlctl.types.value import digest

# A file changed this shortly before it was digested may change again within the same tick of its clock; it is not remembered.
_RACY_NANOSECONDS = 2_000_000_000
_DIGITS = 64  # of a digest
_SMALL = 1 << 20  # bytes; up to it a file is read at once
_LARGE = 16 << 20  # bytes; above it threads share the work
_BLOCK = 16 << 20  # bytes; enough for them to share
_MOST_UNUSED = 200_000  # entries that are kept though nobody asked for them this time

# The cache file: one line that says what it is and the digest of the rest, then a line for each file with its digest, its
# stamp and its path. Text, since a hundred thousand lines are read several times as fast as the same in JSON.
_HEADER = "mlctl digests 2 "


class FileDigests:
    """Digests by path. The cache is only ever an accelerator: one that is damaged, or was written by others, counts as empty."""

    def __init__(self, cache: Path | None = None) -> None:
        self._cache_path = cache
        self._lock = threading.Lock()
        self._known: dict[str, str] | None = None  # the lines of the cache file, by path
        self._used: dict[str, str] = {}
        self._dirty = False

    def file(self, path: Path) -> str:
        """The BLAKE3 digest of one file's bytes, 64 hex digits. Raises OSError."""
        return self.files([str(path)])[0]

    def files(self, names: Iterable[str], root: Path | None = None) -> list[str]:
        """The digest of each file, relative to `root`. Raises OSError."""
        place = os.path.abspath(root or ".") + os.sep
        with self._lock:
            known = self._load()
        used, found = self._used, []
        for name in names:  # there may be a hundred thousand
            path = name if name.startswith(os.sep) else place + name
            status = os.stat(path)
            rest = f"{status.st_size} {status.st_mtime_ns} {status.st_ctime_ns} {status.st_ino}\t{path}"
            line = used.get(path) or known.get(path)
            if line is not None and line[_DIGITS + 1 :] == rest:
                used[path] = line
                found.append(line[:_DIGITS])
            else:
                found.append(self._learn(path, status, rest))
        return found

    def tree(self, paths: Sequence[Path], root: Path) -> str:
        """One digest for a set of files: names relative to `root` and contents; the order given does not matter. Raises OSError."""
        return digest(sorted([path.relative_to(root).as_posix(), self.file(path)] for path in paths))

    def save(self) -> None:
        """Keep what was learnt for the next command. A cache that cannot be written is not an error."""
        with self._lock:
            if not self._dirty or self._cache_path is None:
                return
            others = [line for name, line in self._load().items() if name not in self._used]
            lines = "".join(f"{line}\n" for line in (*others[-_MOST_UNUSED:], *self._used.values()))
            body = lines.encode("utf-8", "surrogateescape")
            try:
                self._cache_path.parent.mkdir(parents=True, exist_ok=True)
                atomic.write_bytes(self._cache_path, f"{_HEADER}{_of(body)}\n".encode() + body)
            except OSError:
                return
            self._dirty = False

    def _learn(self, path: str, status: os.stat_result, rest: str) -> str:
        """The digest of a file that is not known as it is now. `rest` is what follows it in its line of the cache."""
        value = _read(path, status.st_size)
        settled = time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _RACY_NANOSECONDS
        if settled and "\n" not in path and "\t" not in path:
            self._used[path] = f"{value}\t{rest}"
            self._dirty = True
        return value

    def _load(self) -> dict[str, str]:
        if self._known is None:
            self._known = {} if self._cache_path is None else _stored(self._cache_path)
        return self._known


def _stored(path: Path) -> dict[str, str]:
    """What a cache file holds; nothing unless every byte of it is as we wrote it."""
    try:
        header, _, body = path.read_bytes().partition(b"\n")
    except OSError:
        return {}
    if not header.startswith(_HEADER.encode()) or header[len(_HEADER) :] != _of(body).encode():
        return {}
    lines = body.decode("utf-8", "surrogateescape").split("\n")[:-1]
    return {line[line.rindex("\t") + 1 :]: line for line in lines}


def _of(data: bytes) -> str:
    from blake3 import blake3

    return str(blake3(data).hexdigest())


def _read(name: str, size: int) -> str:
    """The digest of what stands in a file. It is read, not mapped: a file that is cut short meanwhile, as `cp` does to the one it
    replaces, would end the process by SIGBUS."""
    from blake3 import blake3

    if size < _SMALL:
        with open(name, "rb") as stream:
            return _of(stream.read())
    threads = (os.cpu_count() or 1) if size >= _LARGE else 1
    found, block = blake3(max_threads=threads), memoryview(bytearray(min(size, _BLOCK)))
    with open(name, "rb", buffering=0) as stream:
        while count := stream.readinto(block):
            found.update(block[:count])
    return str(found.hexdigest())
