"""How a worker program tells mlctl how far it is."""

from __future__ import annotations

import json
from pathlib import Path

from mlctl.runtime import secrets
from mlctl.types import job as contract
from mlctl.types.event import Progress


class Report:
    """Appends progress lines to the job's event file; a line is written whole or, after a kill, is the torn last one."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def progress(
        self, message: str, done: float | None = None, total: float | None = None, unit: str = "", **metrics: float
    ) -> None:
        """One line: what is going on, how far of how much, and any figures worth showing."""
        line = json.dumps(secrets.known().hidden(Progress(message, done, total, unit, metrics).to_json()))
        with open(self.folder / contract.EVENTS_FILE, "a", encoding="utf-8") as stream:
            stream.write(line + "\n")
