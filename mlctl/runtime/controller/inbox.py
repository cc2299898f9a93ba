"""What others put into a controller's folder: what is wanted, orders of people, and that all is to end."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.runtime import logs
from mlctl.runtime.controller.saying import say
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import END_FILE, ORDERS_FOLDER, WANTED_FILE, Order, Wanted
from mlctl.types.secret import Secrets


class Inbox:
    """Files that are swapped in whole. Each is looked at only when it has changed."""

    def __init__(self, folder: Path, secrets: Secrets) -> None:
        self._folder = folder
        self._secrets = secrets
        self._seen: tuple[int, int, int] | None = None
        self._wanted: Wanted | None = None

    def wanted(self) -> Wanted | None:
        """What the last apply asked for; None while there is nothing to read. What cannot be read leaves the one before in force.

        Raises MlctlError when there are secrets in it that this process was not given.
        """
        path = self._folder / WANTED_FILE
        try:
            about = path.stat()
        except OSError:
            return self._wanted
        mark = (about.st_mtime_ns, about.st_ino, about.st_size)
        if mark == self._seen:
            return self._wanted
        stored = atomic.read_object(path)
        if missing := self._secrets.missing(stored):
            raise MlctlError.of(
                "rollout.secrets-missing",
                f"the controller was started without the secrets {', '.join(sorted(missing))}",
                f"{path} names them; their values are never kept",
                "run `mlctl apply`, or give them to the unit of systemd (see `mlctl deploy systemd`)",
            )
        self._seen = mark
        try:
            found = Wanted.model_validate(self._secrets.opened(stored))
        except ValidationError as error:
            say(f"{WANTED_FILE} cannot be read: {error.error_count()} problems; what was wanted before stays in force")
            return self._wanted
        if self._wanted is None or found.serial >= self._wanted.serial:
            self._wanted = found
        if found.json_logs:
            logs.as_json("controller")
        return self._wanted

    def orders(self) -> list[tuple[Path, Order]]:
        """Orders that were not carried out yet, oldest first. What is no order is put aside, with its bytes."""
        folder = self._folder / ORDERS_FOLDER
        found: list[tuple[Path, Order]] = []
        try:
            names = sorted(entry.name for entry in os.scandir(folder) if entry.name.endswith(".json"))
        except OSError:
            return []
        for name in names:
            path = folder / name
            try:
                found.append((path, Order.model_validate(atomic.read_object(path))))
            except ValidationError:
                path.rename(path.with_suffix(".refused"))
        return found

    def ending(self) -> float | None:
        """How many seconds requests under way get when all is to end; None while it is not."""
        stored = atomic.read_object(self._folder / END_FILE)
        return None if stored is None else float(stored.get("drain_seconds", 0.0))
