"""Runs: every command that changes something has a folder with what it was asked, what happened, and how it ended.

A run holds a lock on its folder for as long as it lives, as jobs do: so a run that was killed is told from one that works,
and a supervisor that carries a run on takes the lock over from the one who began it.
"""

from __future__ import annotations

import calendar
import json
import os
import secrets
import shutil
import socket
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from mlctl.engine import provenance
from mlctl.engine.saved import file as planfile
from mlctl.engine.saved.file import SavedPlan
from mlctl.engine.store import Store
from mlctl.files import atomic
from mlctl.files.lock import FileLock, is_locked
from mlctl.types.diagnostic import MlctlError, did_you_mean

KEPT = 50
RUN_FILE, PLAN_FILE, EVENTS_FILE, LOG_FILE, LOCK_FILE = "run.json", "plan.json", "events.jsonl", "log.txt", "lock"
CANCEL_FILE = "cancel.json"  # what a `cancel` asks for: the signal that comes with it cannot say
_ID_DIGITS = 4
_SHARED = "runs/"
_TIME = "%Y-%m-%dT%H:%M:%SZ"


@dataclass(frozen=True, slots=True)
class Run:
    """What is known of one run. `objects` are the keys in use when it ended, by address; `exit_code` is None until then."""

    id: str
    operation: str
    who: str
    host: str
    pid: int
    since: str
    plan: str = ""  # the digest of its saved plan
    serial_before: int = 0
    serial_after: int | None = None
    detached: bool = False
    phase: str = "starting"  # starting, then applying, then ended
    ended: str = ""
    exit_code: int | None = None
    counts: Mapping[str, int] = field(default_factory=dict)
    objects: Mapping[str, str] = field(default_factory=dict)
    why: str = ""

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Run:
        """Read `run.json`. Raises TypeError when it is none; what a newer mlctl added is left out."""
        names = {item.name for item in fields(cls)}
        return cls(**{name: value for name, value in stored.items() if name in names})


class RunFolder:
    """One run on the disk."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._lock: FileLock | None = None
        self._handle: int | None = None  # the lock as it came down from the process that began the run

    @property
    def id(self) -> str:
        """What people call it by."""
        return self.path.name

    @property
    def name(self) -> str:
        """What no other run is called, were there ever so many: its id, and when it was begun."""
        return f"{self.id}-{self.read().since}"

    @property
    def plan_path(self) -> Path:
        """Its saved plan."""
        return self.path / PLAN_FILE

    @property
    def events_path(self) -> Path:
        """Its events, one JSON object a line, as `--json` prints them."""
        return self.path / EVENTS_FILE

    @property
    def log_path(self) -> Path:
        """What a supervisor wrote."""
        return self.path / LOG_FILE

    @property
    def running(self) -> bool:
        """Whether a process is at work on it."""
        return self.held or is_locked(self.path / LOCK_FILE)

    def read(self) -> Run:
        """What is known of it. Raises MlctlError when its file is damaged."""
        try:
            return Run.from_json(json.loads((self.path / RUN_FILE).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise MlctlError.of(
                "run.damaged",
                f"the run `{self.id}` cannot be read",
                f"{type(error).__name__}: {error}",
                f"see {self.path}",
            ) from error

    def summary(self) -> dict[str, Any]:
        """What a list of runs tells of it."""
        about = self.read()
        names = (
            "id",
            "operation",
            "who",
            "host",
            "since",
            "ended",
            "exit_code",
            "serial_before",
            "serial_after",
            "detached",
        )
        told = {name: getattr(about, name) for name in names}
        return {**told, "running": self.running, "counts": dict(about.counts), "why": about.why}

    def update(self, **values: Any) -> Run:
        """Change what is known of it."""
        run = replace(self.read(), **values)
        atomic.write_json(self.path / RUN_FILE, asdict(run))
        return run

    def saved(self) -> SavedPlan:
        """Its plan. Raises MlctlError."""
        return planfile.read(self.plan_path)

    def hold(self) -> None:
        """Take the lock of the folder. Raises MlctlError when the run is at work already."""
        lock = FileLock(self.path / LOCK_FILE)
        if not lock.acquire():
            raise MlctlError.of(
                "run.running",
                f"the run `{self.id}` is at work already",
                "",
                f"look at it with `mlctl attach {self.id}`",
            )
        self._lock = lock

    def take_over(self, handle: int) -> None:
        """Hold the lock that came down from whoever began this run, as an open file. No child of ours gets it."""
        os.set_inheritable(handle, False)
        self._handle = handle

    @property
    def held(self) -> bool:
        """Whether this process is at work on it."""
        return self._lock is not None or self._handle is not None

    @property
    def handle(self) -> int:
        """The lock as an open file, to hand it on. Raises ValueError when it is not held here."""
        if self._handle is not None:
            return self._handle
        if self._lock is None:
            raise ValueError("the lock is not held")
        return self._lock.handle

    def let_go(self) -> None:
        """Give the lock up, or the copy of it that this process has."""
        if self._lock is not None:
            self._lock.release()
        if self._handle is not None:
            os.close(self._handle)
        self._lock = self._handle = None

    def tell(self, event: Mapping[str, Any]) -> None:
        """Add an event. One line is one write, so that a kill leaves whole lines and perhaps a torn last one."""
        line = json.dumps(event, ensure_ascii=False, default=str).encode("utf-8", "surrogatepass") + b"\n"
        handle = os.open(self.events_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)

    def asked(self) -> str | None:
        """What a `cancel` wrote before it sent its signal: `stop` or `kill`; None when there was none."""
        try:
            found = json.loads((self.path / CANCEL_FILE).read_bytes())["manner"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        return found if found in ("stop", "kill") else None

    def ask(self, manner: str) -> None:
        """Leave word of how the run should end."""
        atomic.write_json(self.path / CANCEL_FILE, {"manner": manner, "by": provenance.who()})


class Runs:
    """The runs of one environment."""

    def __init__(self, home: Path) -> None:
        self.folder = home / "runs"

    def begin(self, operation: str, saved: SavedPlan, *, detached: bool = False, why: str = "") -> RunFolder:
        """Make the folder of a new run, with its plan in it, and hold its lock. Older runs beyond the kept ones go."""
        self.folder.mkdir(parents=True, exist_ok=True)
        run = RunFolder(self._fresh())
        run.hold()
        planfile.write(run.plan_path, saved)
        about = Run(
            id=run.id,
            operation=operation,
            who=provenance.who(),
            host=socket.gethostname(),
            pid=os.getpid(),
            since=now(),
            plan=saved.digest,
            serial_before=saved.plan.serial,
            detached=detached,
            why=why,
        )
        atomic.write_json(run.path / RUN_FILE, asdict(about))
        self._forget_old()
        return run

    def kept(self) -> list[RunFolder]:
        """All runs that are kept, the newest first."""
        try:
            found = [path for path in self.folder.iterdir() if (path / RUN_FILE).exists()]
        except FileNotFoundError:
            return []
        return [RunFolder(path) for path in sorted(found, key=_age, reverse=True)]

    def find(self, name: str | None, *, running: bool = False) -> RunFolder:
        """A run by its id; without one the newest, or the one that is `running` if there is one. Raises MlctlError."""
        found = self.kept()
        if name is None:
            at_work = [run for run in found if running and run.running]
            if len(at_work) > 1:
                ids = ", ".join(f"`{run.id}`" for run in at_work)
                raise MlctlError.of("run.ambiguous", f"{len(at_work)} runs are at work", "one of them waits for the other", f"name one: {ids}")  # fmt: skip
            if at_work or found:
                return (at_work or found)[0]
            raise MlctlError.of(
                "run.none", "there is no run yet", "every apply that changes something is one", "run `mlctl apply`"
            )
        for run in found:
            if run.id == name:
                return run
        raise MlctlError.of(
            "run.unknown",
            f"there is no run `{name}`",
            f"the last {KEPT} runs of an environment are kept",
            did_you_mean(name, [run.id for run in found]) or "see `mlctl runs`",
        )

    def running(self) -> list[RunFolder]:
        """The runs at work."""
        return [run for run in self.kept() if run.running]

    def _fresh(self) -> Path:
        """A new folder under an id that no run has."""
        digits = _ID_DIGITS
        while True:
            path = self.folder / secrets.token_hex(digits)[:digits]
            with suppress(FileExistsError):
                path.mkdir(mode=0o700)
                return path
            digits += 1

    def _forget_old(self) -> None:
        for run in [run for run in self.kept() if not run.running][KEPT:]:
            shutil.rmtree(run.path, ignore_errors=True)


def share(run: RunFolder, store: Store) -> None:
    """Keep a run that is over beside the state too, so that its history is there for whoever works from elsewhere."""
    about = run.read()
    stored = {"run": asdict(about), "plan": json.loads(run.plan_path.read_bytes())}
    name = f"{_SHARED}{about.since.replace(':', '')}-{run.id}.json"
    store.put_document(name, json.dumps(stored, sort_keys=True).encode("utf-8", "surrogatepass"))
    for old in store.documents(_SHARED)[:-KEPT]:
        store.remove_document(old)


def fetch(runs: Runs, store: Store) -> None:
    """Bring the runs of others, as they are kept beside the state, into this folder; but for those that are no run any more.

    The history is told from what is left: one damaged object of a bucket must not stand in the way of every command.
    """
    here = {run.id for run in runs.kept()}
    for name in store.documents(_SHARED):
        id = name.removesuffix(".json").rpartition("-")[2]
        data = store.get_document(name) if id not in here else None
        if data is None:
            continue
        try:
            stored = json.loads(data)
            begun = calendar.timegm(time.strptime(Run.from_json(stored["run"]).since, _TIME))
            plan = dict(stored["plan"])
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            continue
        path = runs.folder / id
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        atomic.write_json(path / PLAN_FILE, plan)
        os.utime(path / PLAN_FILE, (begun, begun))
        atomic.write_json(path / RUN_FILE, stored["run"])


def now() -> str:
    """This moment, as it is written everywhere."""
    return time.strftime(_TIME, time.gmtime())


def _age(path: Path) -> tuple[int, str]:
    """When a run was begun: its plan is written once."""
    try:
        return (path / PLAN_FILE).stat().st_mtime_ns, path.name
    except OSError:
        return 0, path.name
