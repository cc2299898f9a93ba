"""Ends what is left of an engine when its server is gone without a word: `python -m mlctl.runtime.llm.watchdog FOLDER`.

The server holds the other end of our standard input. It says goodbye on it when it has ended the engine itself; when it is
killed the input just ends.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

GOODBYE = b"goodbye\n"
_TRIES, _PAUSE_SECONDS = 50, 0.1  # its lock is let go of in the moment that it dies, and so is its end of the pipe


def main(folder: Path) -> None:
    """Wait for the end of the server."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # what asks the server to end is not meant for us
    if sys.stdin.buffer.read().endswith(GOODBYE):
        return
    from mlctl.processes import engine  # not before it is needed: we wait for days

    for _ in range(_TRIES):
        if engine.sweep(folder) or not engine.left(folder):
            return
        time.sleep(_PAUSE_SECONDS)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
