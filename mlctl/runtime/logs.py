"""A program's own log as JSON: one object a line, for those who collect logs. By MLCTL_LOG_FORMAT=json, or `observe: {logs: json}`.

Whatever is printed becomes a line of `ts`, `message`, `stream`, `program` and `pid`; the lines of a traceback become one. What is
printed while a request is worked on has its `trace_id` and `request_id`. An engine of language models writes as it does: it is
not our program.
"""

from __future__ import annotations

import io
import json
import os
import sys
import threading
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any, TextIO

VARIABLE = "MLCTL_LOG_FORMAT"
TEXT, JSON = "text", "json"

# The request that is worked on, as (trace id, request id).
request: ContextVar[tuple[str, str] | None] = ContextVar("request", default=None)

_TRACEBACK = "Traceback (most recent call last):"
_LONGEST = 64 * 1024  # characters of one message


class JsonStream(io.TextIOBase):
    """Stands in for a stream: takes text, and writes a JSON object for each line of it."""

    def __init__(self, stream: TextIO, name: str, program: str) -> None:
        self._stream, self._name, self._program = stream, name, program
        self._rest = ""
        self._held: list[str] = []  # a traceback that goes on
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        """UTF-8, whatever the stream below has."""
        return "utf-8"

    def writable(self) -> bool:
        """It is."""
        return True

    def fileno(self) -> int:
        """That of the stream below, for libraries that write to it directly."""
        return self._stream.fileno()

    def isatty(self) -> bool:
        """No: nothing is drawn on it."""
        return False

    def write(self, text: str) -> int:
        """Take some text; whole lines go out."""
        with self._lock:
            *lines, self._rest = (self._rest + text).split("\n")
            for line in lines:
                self._line(line)
            if len(self._rest) > _LONGEST:
                self._line(self._rest)
                self._rest = ""
        return len(text)

    def flush(self) -> None:
        """Write what is buffered below. A line that has not ended waits for its end."""
        with self._lock:
            self._stream.flush()

    def finish(self) -> None:
        """Write all there is: the program ends."""
        with self._lock:
            rest, self._rest = self._rest, ""
            if rest:
                self._line(rest)
            self._release()
            self._stream.flush()

    def _line(self, line: str) -> None:
        """A traceback ends with the first line that is not indented, which says what was raised."""
        if self._held:
            self._held.append(line)
            if line[:1] not in (" ", "\t") and line != _TRACEBACK:
                self._release()
        elif line == _TRACEBACK:
            self._held.append(line)
        elif line.strip():
            self._write(line)

    def _release(self) -> None:
        held, self._held = self._held, []
        if held:
            self._write("\n".join(held))

    def _write(self, message: str) -> None:
        told: dict[str, Any] = {
            "ts": datetime.now(UTC).isoformat(timespec="milliseconds"), "message": message[:_LONGEST], "stream": self._name,
            "program": self._program, "pid": os.getpid(),
        }  # fmt: skip
        if (now := request.get()) is not None:
            told |= {"trace_id": now[0], "request_id": now[1]}
        self._stream.write(json.dumps(told, ensure_ascii=False) + "\n")
        self._stream.flush()


def wanted() -> bool:
    """Whether the environment asks for it."""
    return os.environ.get(VARIABLE) == JSON


def as_json(program: str) -> None:
    """Have this process, and those of ours that it starts, write their logs so. May be called again."""
    os.environ[VARIABLE] = JSON
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if not isinstance(stream, JsonStream):
            setattr(sys, name, JsonStream(stream, name, program))


def finish() -> None:
    """Write what is held back."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, JsonStream):
            stream.finish()
