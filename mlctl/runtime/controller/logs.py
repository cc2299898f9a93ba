"""The logs of a deployment: the controller's own, that of its gateway, and those of its releases. They are kept short."""

from __future__ import annotations

import time
from pathlib import Path

from mlctl.processes import logs
from mlctl.runtime.controller.saying import say
from mlctl.types import job as contract
from mlctl.types.jobs.rollout import GATEWAY_FOLDER, RELEASES_FOLDER

_EVERY_SECONDS = 60.0


class Logs:
    """Looks once a minute. Releases that have ended keep the log that they had."""

    def __init__(self, folder: Path, most: int = logs.MOST_BYTES) -> None:
        self._folder, self._most = folder, most
        self._looked = float("-inf")
        self._failing = ""

    def look(self) -> None:
        """Begin anew what has become long."""
        if time.monotonic() - self._looked < _EVERY_SECONDS:
            return
        self._looked = time.monotonic()
        failing = ""
        for path in self._paths():
            try:
                logs.cap(path, self._most)
            except OSError as error:  # a full disk, say: as long as it is, at the next look
                failing = f"a log cannot be kept short for now: {error}"
        if failing and failing != self._failing:
            say(failing)
        self._failing = failing

    def _paths(self) -> list[Path]:
        others = (
            path for name in (GATEWAY_FOLDER, RELEASES_FOLDER) for path in sorted((self._folder / name).glob("*"))
        )
        return [place / contract.LOG_FILE for place in (self._folder, *others)]
