"""What others answered us, kept as it comes: nobody is asked twice for the same, not even after a kill, and a run can be made again."""

from __future__ import annotations

import json
import os
import threading
from hashlib import blake2b
from pathlib import Path
from typing import Any


class Asked:
    """One file of JSON lines, which only grows: a question's key and the answer. A torn last line is as if it were not there."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._known: dict[str, Any] = {}
        for line in path.read_bytes().splitlines() if path.exists() else ():
            try:
                found = json.loads(line)
                self._known[found["key"]] = found["answer"]
            except (ValueError, KeyError, TypeError):
                continue

    def get(self, key: str) -> Any | None:
        """The answer, if it was asked for before."""
        return self._known.get(key)

    def put(self, key: str, answer: Any) -> None:
        """Have it on the disk. Several threads may. A line begins on a line of its own, whatever a kill left before it."""
        line = b"\n" + json.dumps({"key": key, "answer": answer}).encode() + b"\n"
        with self._lock:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            opened = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
            try:
                os.write(opened, line)
                os.fsync(opened)
            finally:
                os.close(opened)
            self._known[key] = answer


def key_of(*parts: Any) -> str:
    """Equal for equal questions."""
    return blake2b(json.dumps(parts, sort_keys=True).encode(), digest_size=16).hexdigest()
