"""What an engine says while it starts, as progress: its log is the only one who knows."""

from __future__ import annotations

import re
import sys
import time

from mlctl.runtime.report import Report
from mlctl.types import job as contract

_EVERY_SECONDS = 1.0
_LONGEST = 100
# `(EngineCore pid=123) INFO 11-22 13:00:01 [gpu_model_runner.py:123] Loading ...`: what is in front of the words
_FRONT = re.compile(r"^(\([^)]*\)\s*)?((INFO|WARNING|ERROR)\s+[\d:. -]+)?(\[[^\]]*\]\s*)?")


class Loading:
    """Follows the log from where it is now."""

    def __init__(self, report: Report, engine: str) -> None:
        self._report, self._engine = report, engine
        self._log = report.folder / contract.LOG_FILE
        self._place = self._log.stat().st_size if self._log.exists() else 0
        self._began = self._told = time.monotonic()
        report.progress(f"starting {engine}")

    def look(self) -> None:
        """Say the last line that is new, at most once a second."""
        if time.monotonic() - self._told < _EVERY_SECONDS or not self._log.exists():
            return
        self._told = time.monotonic()
        with open(self._log, "rb") as stream:
            stream.seek(self._place)
            text = stream.read().decode("utf-8", "replace")
            self._place = stream.tell()
        words = [_FRONT.sub("", line).strip() for line in text.splitlines()]
        last = next((line for line in reversed(words) if line), "")
        if last:
            self._report.progress(f"{self._engine}: {last[:_LONGEST]}")


def say(text: str) -> None:
    """A line in the server's log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
