"""Output streams of a process that knows secrets: what is written goes out without them, whoever writes it."""

from __future__ import annotations

import io
import sys
from typing import BinaryIO

from mlctl.types.secret import redacted


def guard_output() -> None:
    """Have stdout and stderr of this process leave out every secret that was announced. What C code writes goes by."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        stream.flush()
        raw = _Redacting(stream.buffer)
        # line_buffering and write_through: each write comes here whole, and a kill loses nothing that was written
        setattr(sys, name, io.TextIOWrapper(raw, "utf-8", "backslashreplace", line_buffering=True, write_through=True))


class _Redacting(io.BufferedIOBase):
    """A binary stream in front of another."""

    def __init__(self, target: BinaryIO) -> None:
        self._target = target

    def write(self, data: object) -> int:
        """Pass on what was written, without secrets; it counts as written whole."""
        given = bytes(data)  # type: ignore[call-overload]
        self._target.write(redacted(given.decode("utf-8", "surrogateescape")).encode("utf-8", "surrogateescape"))
        self._target.flush()
        return len(given)

    def writable(self) -> bool:
        """It is for writing only."""
        return True

    def flush(self) -> None:
        """Nothing is kept here."""
        self._target.flush()

    def fileno(self) -> int:
        """The file behind it, for what writes there directly."""
        return self._target.fileno()

    def isatty(self) -> bool:
        """As the stream behind it."""
        return self._target.isatty()
