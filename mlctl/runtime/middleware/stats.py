"""Counts on disk: each process of a server writes its own file, so that they survive it and can be added up by others."""

from __future__ import annotations

import json
import os
import threading
import time
from functools import reduce
from pathlib import Path
from typing import Any

from .tally import Json, Tally, added, by_versions

FOLDER = "stats"
INTERVAL_SECONDS = 0.5
_SIGN_OF_LIFE_SECONDS = 5.0  # how often the file is written when nothing changes
FRESH_SECONDS = 15.0  # an older file is of a process that is gone: what it had running it has no more


class StatsFile:
    """Writes a tally to `FOLDER/stats/<pid>.json` twice a second, from a thread, and once more at the end."""

    def __init__(self, folder: Path, tally: Tally) -> None:
        self._tally = tally
        self._started = time.time()
        self._folder = folder / FOLDER
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.path = _free(self._folder)
        self._last: Json = {}
        self._written = 0.0
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.write()  # the name is taken from now on
        self._thread = threading.Thread(target=self._run, name="stats", daemon=True)
        self._thread.start()

    def write(self) -> None:
        """Put the counts on disk, swapped in whole. A full disk costs the file its news and the server nothing."""
        with self._lock:
            counts = self._tally.to_json()
            now = time.time()
            if counts == self._last and now - self._written < _SIGN_OF_LIFE_SECONDS:
                return
            beside = self.path.with_suffix(".new")
            try:
                stored = json.dumps({"started": self._started, "at": now, "process": _usage(), **counts})
                handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
                with open(handle, "w", encoding="utf-8") as stream:
                    stream.write(stored)
                os.replace(beside, self.path)
                self._last, self._written = counts, now
            except OSError:
                pass

    def all(self) -> Json:
        """What all processes of this server have counted, those that are gone included; and what they do now."""
        parts: list[Json] = [{"process": _usage(), **self._tally.to_json()}]
        for path in sorted(self._folder.glob("*.json")):
            if path == self.path or (stored := _read(path)) is None:
                continue
            if time.time() - stored.pop("at", 0.0) > FRESH_SECONDS:
                stored.pop("now", None)
                stored.get("process", {}).pop("resident_bytes", None)
            stored.pop("started", None)
            parts.append(stored)
        total: Json = reduce(added, by_versions(parts))
        return total

    def close(self) -> None:
        """Write what there is, and end. May be called twice."""
        self._stop.set()
        self._thread.join()
        self.write()

    def _run(self) -> None:
        while not self._stop.wait(INTERVAL_SECONDS):
            self.write()


def _free(folder: Path) -> Path:
    """A name of our own: an earlier process may have had our pid, and what it counted stays."""
    for number in range(1000):
        path = folder / (f"{os.getpid()}.json" if not number else f"{os.getpid()}-{number}.json")
        if not path.exists():
            return path
    return folder / f"{os.getpid()}.json"


def _read(path: Path) -> Json | None:
    try:
        stored: Any = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return None
    return stored if isinstance(stored, dict) else None


def _usage() -> Json:
    """What this process takes: CPU seconds since it began, and memory."""
    times = os.times()
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):  # not Linux
        return {"cpu_seconds": times.user + times.system}
    return {"cpu_seconds": times.user + times.system, "resident_bytes": pages * os.sysconf("SC_PAGE_SIZE")}
