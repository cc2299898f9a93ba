"""The server processes of a deployment behind a gateway: started, looked at, started again when they die, and stopped.

A release has a folder, `releases/N`, and what runs is told by the lock in it. So a controller that begins anew finds them all.
"""

from __future__ import annotations

import shutil
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.processes import service, worker
from mlctl.rollout.routes import Backend
from mlctl.rollout.seen import Look
from mlctl.runtime.controller.saying import say
from mlctl.types import job as contract
from mlctl.types.jobs.rollout import RELEASES_FOLDER, Revision
from mlctl.types.secret import Secrets

REVISION_FILE = "revision.json"  # in a release's folder: {"revision": Revision without its params, "release": ...}

_BACK_OFF_SECONDS = (0.0, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0, 60.0)
_STEADY_SECONDS = 60.0  # who has run for so long, and was ready, has not died again and again
_KEPT = 5  # folders of ended releases that stay, for their logs
_GRACE_SECONDS = 10.0


@dataclass
class Life:
    """What a controller remembers of one release while it runs itself; nothing of it has to survive."""

    started: float = 0.0  # monotonic
    deaths: int = 0  # in a row
    starting: bool = False  # it runs, as far as was seen, and nobody has told it to end
    stopping: threading.Thread | None = None

    @property
    def ending(self) -> bool:
        """Whether it was told to end, and has not yet."""
        return self.stopping is not None and self.stopping.is_alive()


@dataclass
class Fleet:
    """All releases of one deployment."""

    folder: Path
    root: Path
    secrets: Secrets
    lives: dict[int, Life] = field(default_factory=dict)

    def path(self, number: int) -> Path:
        """The folder of a release."""
        return self.folder / RELEASES_FOLDER / str(number)

    def numbers(self) -> list[int]:
        """All releases that have a folder, oldest first."""
        folder = self.folder / RELEASES_FOLDER
        return sorted(int(path.name) for path in folder.iterdir() if path.name.isdecimal()) if folder.is_dir() else []

    def start(self, number: int, revision: Revision) -> bool:
        """Have a release run. False while one that died has to wait; nothing happens to one that runs."""
        path, life = self.path(number), self._life(number)
        if worker.running(path):
            return True
        if life.ending:
            return False
        self._notice_death(life)
        pause = _BACK_OFF_SECONDS[min(life.deaths, len(_BACK_OFF_SECONDS) - 1)]
        if life.deaths and time.monotonic() - life.started < pause:
            return False
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        kept = revision.model_dump(mode="json", exclude={"params"})
        atomic.write_json(path / REVISION_FILE, {"revision": kept, "release": path.name})
        params: dict[str, Any] = {**revision.params, "host": "127.0.0.1", "port": 0, "behind_gateway": True}
        service.start(revision.program, params, path, self.root, self.secrets, environment={"OMP_NUM_THREADS": "1"})
        life.started, life.starting = time.monotonic(), True
        say(f"release {number}: {revision.model} v{revision.version}, its log is {path / contract.LOG_FILE}")
        return True

    def looks(self, known: Mapping[int, Revision]) -> dict[int, Look]:
        """All releases that are known, and those that run and are not."""
        strays = [number for number in self.numbers() if number not in known and worker.running(self.path(number))]
        return {
            **{number: self.look(number, revision) for number, revision in known.items()},
            **{number: Look(running=True) for number in strays},
        }

    def look(self, number: int, revision: Revision) -> Look:
        """How a release is. Whoever is stopping does not answer any more."""
        life, state = self._life(number), service.find(self.path(number))
        if not state.running:
            self._notice_death(life)
            return Look(False, None, life.deaths, self.epitaph(number) if life.deaths else "")
        life.starting = not life.ending
        if state.ready is None or life.ending:
            return Look(True, None, life.deaths)
        if life.deaths and time.monotonic() - life.started > _STEADY_SECONDS:
            life.deaths = 0
        return Look(True, _backend(state.ready, revision), life.deaths)

    def epitaph(self, number: int) -> str:
        """Why a release ended by itself, as far as it could say."""
        path = self.path(number)
        found = (atomic.read_object(path / contract.RESULT_FILE) or {}).get("diagnostics") or []
        for item in found[:1]:
            return f"{item.get('code')}: {item.get('summary')}"
        return service.find(path).epitaph()

    def stop(self, number: int, drain_seconds: float) -> None:
        """Have a release finish what is under way and end, beside all else; with no time to drain it is ended at once.

        Asked again, nothing more happens.
        """
        life = self._life(number)
        if not worker.running(self.path(number)) or life.ending:
            return
        life.starting = False
        grace = drain_seconds + _GRACE_SECONDS if drain_seconds else 0.0
        life.stopping = threading.Thread(
            target=worker.stop, args=(self.path(number), grace), name=f"stop-{number}", daemon=True
        )
        life.stopping.start()

    def end(self, drain_seconds: float) -> None:
        """Stop all, and return when none is left."""
        for number in self.numbers():
            self.stop(number, drain_seconds)
        for life in list(self.lives.values()):
            if life.stopping is not None:
                life.stopping.join()
        for number in self.numbers():
            worker.stop(self.path(number), 0.0)  # what is left of an engine whose server was killed

    def forget(self, keep: set[int]) -> list[Path]:
        """Remove the folders of releases that ended, but for the newest, whose logs may be wanted. Gives what is gone."""
        ended = [number for number in self.numbers() if number not in keep and not worker.running(self.path(number))]
        gone = [self.path(number) for number in ended[: -_KEPT or None]]
        for path in gone:
            worker.stop(path, 0.0)  # it does not run, but an engine of it might
            shutil.rmtree(path, ignore_errors=True)
            self.lives.pop(int(path.name), None)
        return gone

    def _life(self, number: int) -> Life:
        return self.lives.setdefault(number, Life())

    @staticmethod
    def _notice_death(life: Life) -> None:
        """One that was started, was not stopped, and does not run has died."""
        if life.starting:
            life.starting = False
            life.deaths += 1


def _backend(ready: Mapping[str, Any], revision: Revision) -> Backend:
    return Backend(str(ready.get("host", "127.0.0.1")), int(ready["port"]), revision.version, revision.adapter)
