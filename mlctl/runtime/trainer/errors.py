"""What the ranks of a training leave behind when they fail, one file each, so that the first cause can be told from its echoes."""

from __future__ import annotations

import json
import os
import time
import traceback
from pathlib import Path
from typing import Any

from mlctl.runtime import secrets
from mlctl.runtime.trainer.plan import ERRORS_FOLDER
from mlctl.types.diagnostic import MlctlError


def began(folder: Path, rank: int) -> None:
    """Note that a rank is at work. The note goes when it ends by itself, well or not."""
    place = folder / ERRORS_FOLDER
    place.mkdir(exist_ok=True)
    _note(folder, rank).write_text(str(os.getpid()))


def ended(folder: Path, rank: int) -> None:
    """Note that a rank came to its own end."""
    _note(folder, rank).unlink(missing_ok=True)


def failed(folder: Path, rank: int, error: BaseException) -> None:
    """Say what went wrong and when: the first to fail is the cause, the others only lost their connection to it."""
    frames = traceback.extract_tb(error.__traceback__)
    at = next((frame for frame in reversed(frames) if "site-packages" not in frame.filename), None)
    hidden = secrets.known().hidden
    facts: dict[str, Any] = {
        "rank": rank,
        "time": time.time(),
        "type": type(error).__name__,
        "message": hidden(str(error)),
        "at": f"{at.filename}:{at.lineno}" if at is not None else "",
    }
    if isinstance(error, MlctlError):
        first = error.diagnostics[0]
        facts["diagnostic"] = hidden({"code": first.code, "summary": first.summary, "why": first.why, "fix": first.fix})
    place = folder / ERRORS_FOLDER
    place.mkdir(exist_ok=True)
    beside = place / f".rank-{rank}.{os.getpid()}"
    beside.write_text(json.dumps(facts))
    os.replace(beside, place / f"rank-{rank}.json")
    ended(folder, rank)


def check_copy(own: int) -> None:
    """Raise RuntimeError where this is no longer the process of this id: code of the project made a copy, which came back."""
    if os.getpid() != own:
        raise RuntimeError("the project's code forked this process, and the copy went on training too")


def told(folder: Path) -> list[dict[str, Any]]:
    """What the ranks say about their failures, the first one first."""
    found = (json.loads(path.read_bytes()) for path in (folder / ERRORS_FOLDER).glob("rank-*.json"))
    return sorted(found, key=lambda item: item["time"])


def left(folder: Path) -> list[int]:
    """The ranks that are gone without having come to their own end: killed, or ended by the code that they ran.

    Only to be asked when no rank runs any more.
    """
    return sorted(int(path.stem.removeprefix("rank-")) for path in (folder / ERRORS_FOLDER).glob("rank-*.began"))


def _note(folder: Path, rank: int) -> Path:
    return folder / ERRORS_FOLDER / f"rank-{rank}.began"
