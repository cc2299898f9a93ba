"""Run `mlctl` and kill it, with the signal that nobody can catch, at one point of its bookkeeping.

    python driver.py POINT NUMBER ARGUMENTS OF MLCTL...

POINT says where, NUMBER at which visit to that place: `before-append` and `after-append` of a journal line, `before-state`
(the new state file is not written yet), `after-state` (it is in place, the journal is still there), `after-fold` (the
journal is gone, the lock is still held), `before-generation` (the old state is not kept yet).
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlctl.cli.main import main
from mlctl.engine.journal import Journal
from mlctl.files import atomic


def kill_around(point: str, number: int) -> None:
    """Put the kill around the one call that the point names."""
    side, _, place = point.partition("-")
    visits = 0

    def watched(call: Callable[..., Any], matches: Callable[..., bool]) -> Callable[..., Any]:
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            nonlocal visits
            here = matches(*args)
            visits += here
            if here and visits == number and side == "before":
                os.kill(os.getpid(), signal.SIGKILL)
            result = call(*args, **kwargs)
            if here and visits == number and side == "after":
                os.kill(os.getpid(), signal.SIGKILL)
            return result

        return wrapper

    if place == "append":
        Journal.append = watched(Journal.append, lambda *args: True)  # type: ignore[method-assign]
    elif place == "fold":
        Path.unlink = watched(Path.unlink, lambda path, *args: path.name == "journal.jsonl")  # type: ignore[method-assign]
    else:
        name = {"state": "state.json"}.get(place, "")
        atomic.write_bytes = watched(
            atomic.write_bytes,
            lambda path, *args: path.name == name or (not name and path.parent.name == "generations"),
        )


if __name__ == "__main__":
    kill_around(sys.argv[1], int(sys.argv[2]))
    sys.argv = ["mlctl", *sys.argv[3:]]
    main()
