"""Files that grow on one machine and are followed on another: each piece is an object, named by where in the file it begins."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from mlctl.runtime.trainer.objects import Objects

_LARGEST = 4 << 20  # bytes of a piece


class Outgoing:
    """A file of this machine. Every life of the machine's program counts as a file of its own, behind those before it."""

    def __init__(self, objects: Objects, prefix: str, path: Path) -> None:
        self._objects, self._path = objects, path
        self._prefix = f"{prefix}/{time.time_ns():020d}"
        self._offset = 0

    def send(self) -> None:
        """Send what was added since. Raises MlctlError, and sends the same again the next time."""
        while self._path.exists():
            with open(self._path, "rb") as stream:
                stream.seek(self._offset)
                data = stream.read(_LARGEST)
            if not data:
                return
            self._objects.put(f"{self._prefix}/{self._offset:015d}", data)
            self._offset += len(data)


class Incoming:
    """Such files of another machine, one behind the other."""

    def __init__(self, objects: Objects, prefix: str, take: Callable[[bytes], None], last: str | None = None) -> None:
        self._objects, self._prefix, self._take = objects, prefix, take
        self.last = last  # what was taken already

    def receive(self) -> bool:
        """Take what is new; whether anything was. Raises MlctlError."""
        names = self._objects.names(f"{self._prefix}/", after=self.last)
        for name in names:
            self._take(self._objects.get(name) or b"")
            self.last = name
        return bool(names)
