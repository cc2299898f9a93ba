"""What a controller keeps on the disk: the state of the rollout and all that it needs to go on from it, and a history for people."""

from __future__ import annotations

import errno
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.rollout.state import RolloutState, from_json, to_json
from mlctl.runtime.controller.saying import say
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import GATEWAY_FOLDER, HISTORY_FILE, LIVE_FILE, ROLLOUT_FILE
from mlctl.types.secret import Secrets

FORMAT = 1
_HISTORY_BYTES = 4 * 1024 * 1024
# Given back when the disk is full: a version that its gate fails is to lose its share then too, and state comes before routes.
_RESERVE_FILE, _RESERVE_BYTES = "reserve", 256 * 1024
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True, slots=True)
class Kept:
    """The content of rollout.json. Swapped in whole, before what follows from it is done and after."""

    state: RolloutState
    meter: Mapping[str, Any]  # see mlctl.runtime.controller.evidence

    def to_json(self) -> dict[str, Any]:
        """The file."""
        return {
            "format": FORMAT, "at": time.time(), "pid": os.getpid(), "state": to_json(self.state), "meter": dict(self.meter),
        }  # fmt: skip


class Notebook:
    """Reads and writes the files of one controller."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets  # sealed in what is kept

    def read(self) -> Kept:
        """What was kept last. Raises MlctlError for a file of another version, or a lost one: what runs must not be guessed at."""
        path = self._folder / ROLLOUT_FILE
        if not path.exists():
            self._refuse_lost()
            return Kept(RolloutState(), {})
        stored = self._secrets.opened(atomic.read_object(path) or {})
        try:
            if stored["format"] != FORMAT:
                raise ValueError(f"its format is {stored['format']}")
            return Kept(from_json(stored["state"]), stored["meter"])
        except (KeyError, ValueError, TypeError) as error:
            raise MlctlError.of(
                "rollout.unreadable",
                f"{path} is not a rollout that this version of mlctl can go on with",
                f"it is damaged, or was written by another version ({type(error).__name__})",
                "put the file back from a backup, or destroy the deployment and apply it again",
            ) from None

    def _refuse_lost(self) -> None:
        """A gateway that was given routes had them from a state. Without it a version on trial would pass for the first of
        all, and get every request without a gate."""
        if not any((self._folder / GATEWAY_FOLDER).glob("*/routes.json")):
            return
        raise MlctlError.of(
            "rollout.lost",
            f"{self._folder / ROLLOUT_FILE} is gone, and a gateway has been at work here",
            "which version was stable, and which one on trial, is known from that file alone",
            "put the file back from a backup, or destroy the deployment and apply it again",
        )

    def write(self, kept: Kept) -> None:
        """Keep it: on the disk when this returns. Raises OSError."""
        # not `write_json`, which sorts: the order of shares is that of their ranges
        text = json.dumps(self._secrets.masked(kept.to_json()), ensure_ascii=False, allow_nan=False)
        path, data = self._folder / ROLLOUT_FILE, text.encode("utf-8", "surrogatepass")
        reserve = self._folder / _RESERVE_FILE
        try:
            atomic.write_bytes(path, data)
        except OSError as error:
            if error.errno not in _FULL or not reserve.exists():
                raise
            reserve.unlink()
            say("the disk is full: what was kept back for that is given up")
            atomic.write_bytes(path, data)
            return
        if not reserve.exists():
            with suppress(OSError):
                atomic.write_bytes(reserve, bytes(_RESERVE_BYTES))

    def tell(self, what: str, **facts: Any) -> None:
        """A line of history, and of the log. A full disk costs the line and nothing else."""
        at = datetime.now(UTC).isoformat(timespec="milliseconds")
        say(f"{at} {what}: {_line(facts)}" if facts else f"{at} {what}")
        path = self._folder / HISTORY_FILE
        try:
            if path.exists() and path.stat().st_size > _HISTORY_BYTES:
                os.replace(path, path.with_suffix(".1.jsonl"))
            line = json.dumps(self._secrets.hidden({"at": at, "what": what, **facts}), ensure_ascii=False, default=str)
            handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                os.write(handle, (line + "\n").encode("utf-8", "surrogatepass"))
            finally:
                os.close(handle)
        except OSError as error:
            say(f"the history cannot be written: {error}")

    def show(self, live: Mapping[str, Any]) -> None:
        """What is measured now, for those who watch. Not fsync'd: nothing depends on it."""
        path = self._folder / LIVE_FILE
        beside = path.with_suffix(".tmp")
        try:
            handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
            with os.fdopen(handle, "w", encoding="utf-8") as stream:
                json.dump(live, stream, ensure_ascii=False, default=str)
            os.replace(beside, path)
        except OSError as error:
            say(f"what is measured cannot be written: {error}")


def _line(facts: Mapping[str, Any]) -> str:
    return ", ".join(str(value) if name == "text" else f"{name} {value}" for name, value in facts.items())
