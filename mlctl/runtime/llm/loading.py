"""What an engine says while it starts, as progress: its log is the only one who knows.

It may say nothing for a minute (imports, a large model on a slow disk, compiling), so what it does and since when is said again and again.
"""

from __future__ import annotations

import re
import sys
import time

from mlctl.runtime.report import Report
from mlctl.types import job as contract
from mlctl.types.spoken import spoken_seconds

_EVERY_SECONDS = 1.0
_SILENT_SECONDS = 5.0  # after which the same is said again, with the time that has passed
_LONGEST = 100
_OPENING = 80  # characters of a line that say what it is about; settings come after, and name everything
# What vLLM's and llama.cpp's lines are about, in the order of a start; of others the words themselves are given.
_STAGES = tuple(
    (re.compile(pattern, re.IGNORECASE), stage)
    for pattern, stage in (
        (r"starting to load model|loading (the model|safetensors|weights)|load_model|llama_model_loader", "loading the model"),
        (r"torch\.compile|dynamo bytecode|compiling", "compiling"),
        (r"profiling|kv cache size|available kv cache|llama_kv_cache", "reserving memory for keys and values"),
        (r"capturing", "capturing graphs"),
        (r"warm(ing)?[ -]?up", "warming up"),
        (r"starting vllm|available routes|application startup|listening", "opening its port"),
    )
)  # fmt: skip
# `(EngineCore pid=123) INFO 11-22 13:00:01 [gpu_model_runner.py:123] Loading ...`: what is in front of the words
_FRONT = re.compile(r"^(\([^)]*\)\s*)?((INFO|WARNING|ERROR)\s+[\d:. -]+)?(\[[^\]]*\]\s*)?")


class Loading:
    """Follows the log from where it is now."""

    def __init__(self, report: Report, engine: str) -> None:
        self._report, self._engine = report, engine
        self._log = report.folder / contract.LOG_FILE
        self._place = self._log.stat().st_size if self._log.exists() else 0
        self._began = self._looked = self._told = time.monotonic()
        self._said = f"starting {engine}"
        report.progress(self._said)

    def look(self) -> None:
        """Say what is new, at most once a second; when nothing is, what is still going on."""
        now = time.monotonic()
        if now - self._looked < _EVERY_SECONDS:
            return
        self._looked = now
        said = self._new()
        if said or now - self._told >= _SILENT_SECONDS:
            self._said, self._told = said or self._said, now
            self._report.progress(f"{self._said}, {spoken_seconds(now - self._began)}")

    def _new(self) -> str:
        """What the lines are about that were written since the last look; empty when there are none."""
        if not self._log.exists():
            return ""
        with open(self._log, "rb") as stream:
            stream.seek(self._place)
            text = stream.read().decode("utf-8", "replace")
            self._place = stream.tell()
        words = [_FRONT.sub("", line).strip() for line in text.splitlines()]
        last = next((line for line in reversed(words) if line), "")
        stages = [stage for line in words for pattern, stage in _STAGES if pattern.search(line[:_OPENING])]
        told = stages[-1] if stages else last[:_LONGEST]
        return f"{self._engine}: {told}" if told else ""


def say(text: str) -> None:
    """A line in the server's log."""
    print(f"{time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime())} {text}", file=sys.stderr, flush=True)
