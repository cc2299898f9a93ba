"""What every place that keeps a state can do: a folder on this machine and a bucket keep the same promises."""

from __future__ import annotations

import os
import re
import secrets
import socket
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from mlctl.engine import provenance
from mlctl.engine.store.session import Session
from mlctl.types.diagnostic import Diagnostic, ExitCode, MlctlError
from mlctl.types.state import State

GENERATIONS = 20  # how many states are kept, the present one among them
Choose = Callable[
    [State | None], State
]  # the present state, None when it is damaged or gone, to the one that replaces it
Waiting = Callable[[MlctlError], None]  # told once why a session has to wait

_DOCUMENT = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*(/[A-Za-z0-9_][A-Za-z0-9_.-]*)*")


@dataclass(frozen=True, slots=True)
class Generation:
    """A state that was: its serial, and who wrote it when, doing what. `changes` counts against the one before it."""

    serial: int
    size: int
    at: str = ""
    by: str = ""
    operation: str = ""
    changes: Mapping[str, int] = field(default_factory=dict)
    lineage: str = ""
    damaged: bool = False


@dataclass(frozen=True, slots=True)
class Holder:
    """Who holds the lock of a state. `started` tells a process from a later one with the same pid, where the system can."""

    id: str
    who: str
    host: str
    pid: int
    since: str
    operation: str
    run: str = ""
    started: str = ""

    @classmethod
    def me(cls, operation: str, run: str = "") -> Holder:
        """This process, with a new id."""
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        host, pid = socket.gethostname(), os.getpid()
        return cls(secrets.token_hex(4), provenance.who(), host, pid, now, operation, run, _started(pid))

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> Holder:
        """Read the stored form, an older one too. Raises KeyError, TypeError or ValueError when it is not one."""
        who = str(value["who"])
        return cls(
            str(value.get("id", "")), who, str(value.get("host", who.rpartition("@")[2])), int(value["pid"]), str(value["since"]),
            str(value["operation"]), str(value.get("run", "")), str(value.get("started", "")),
        )  # fmt: skip

    @property
    def here(self) -> bool:
        """Whether it is, or was, a process of this machine."""
        return self.host == socket.gethostname()

    @property
    def lives(self) -> bool:
        """Whether its process runs on this machine; False for one elsewhere, which cannot be seen from here."""
        if not self.here:
            return False
        now = _started(self.pid)
        return bool(now) and self.started in ("", now)

    def __str__(self) -> str:
        run = f" (run {self.run})" if self.run else ""
        return f"{self.who} (pid {self.pid}) since {self.since}, running `{self.operation}`{run}"


class Store(Protocol):
    """The state of one environment. All methods raise MlctlError with a code `state.*` when the place cannot be used."""

    warnings: list[Diagnostic]  # what was found on the way and did not stop anything

    @property
    def location(self) -> str:
        """Where the state is kept, for messages."""
        ...

    def read(self) -> State:
        """The state as it is, with a journal that was left behind read into it. Takes no lock and writes nothing."""
        ...

    def session(
        self, operation: str, *, wait_seconds: float = 0, run: str = "", waiting: Waiting | None = None
    ) -> AbstractContextManager[Session]:
        """Become the one writer, waiting for up to `wait_seconds`. Raises MlctlError with exit code 6 when another holds it."""
        ...

    def replace(self, operation: str, choose: Choose) -> State:
        """Under the lock, put what `choose` makes of the present state in its place, as a new serial. Gives the new state."""
        ...

    def generations(self) -> list[Generation]:
        """The states that are kept, the newest first."""
        ...

    def generation(self, serial: int) -> State:
        """One of them."""
        ...

    def put_document(self, name: str, data: bytes) -> None:
        """Keep some bytes beside the state under a name such as `runs/7f3a/run.json`."""
        ...

    def get_document(self, name: str) -> bytes | None:
        """What was kept under a name; None when there is nothing."""
        ...

    def remove_document(self, name: str) -> None:
        """Drop a document; dropped already is fine."""
        ...

    def documents(self, prefix: str = "") -> list[str]:
        """The names that begin with a text, sorted."""
        ...

    def holder(self) -> Holder | None:
        """Who holds the lock now."""
        ...

    def force_unlock(self, id: str) -> Holder:
        """Take the lock away from a holder that is gone, named by the id that the message of its lock shows."""
        ...


def document_name(name: str) -> str:
    """A name of a document, checked: it becomes a path or a key. Raises MlctlError."""
    if len(name) > 200 or _DOCUMENT.fullmatch(name) is None:
        raise MlctlError.of(
            "state.bad-document",
            f"`{name}` cannot name a document of the state",
            "names are letters, digits, `_`, `.` and `-`, in folders parted by `/`, and no part begins with a dot",
            "use another name",
        )
    return name


def locked(holder: Holder | None, location: str) -> MlctlError:
    """The error of a second writer, with all that is known of the first."""
    if holder is None:
        who, why, fix = "a process that has not said yet who it is", "", "wait for it to end, then try again"
    else:
        who = str(holder)
        why = "" if holder.lives else _absence(holder)
        force = f"mlctl force-unlock {holder.id}"
        fix = "wait for it to end, then try again" + (
            f"; if it is gone for good: `{force}`" if not holder.lives else ""
        )
    return MlctlError.of(
        "state.locked",
        f"the state is held by {who}",
        f"one writer at a time; plan and status need no lock{why}",
        fix if holder is None else f"{fix} (lock {holder.id} of {location})",
        exit_code=ExitCode.LOCKED,
    )


def _absence(holder: Holder) -> str:
    if holder.here:
        return f". Process {holder.pid} is gone from this machine; something it started may still hold its lock"
    return f". It runs on `{holder.host}`, which cannot be seen from here"


def unlock_refused(summary: str, why: str, fix: str) -> MlctlError:
    """The error of a force-unlock that would not be right."""
    return MlctlError.of("state.not-unlocked", summary, why, fix, exit_code=ExitCode.LOCKED)


def not_locked(location: str) -> MlctlError:
    """The error of a force-unlock where there is nothing to unlock."""
    return MlctlError.of("state.not-locked", "nobody holds the state", f"there is no lock on {location}", "just go on")


def pauses(wait_seconds: float) -> Callable[[], bool]:
    """Sleeps of 1, 2, 4, 8, 16, 16... seconds, one each call, until the time is over: then the answer is False at once."""
    deadline, pause = time.monotonic() + wait_seconds, 1.0

    def sleep() -> bool:
        nonlocal pause
        left = deadline - time.monotonic()
        if left <= 0:
            return False
        time.sleep(min(pause, left))
        pause = min(2 * pause, 16.0)
        return True

    return sleep


def written(operation: str, changes: Mapping[str, int]) -> dict[str, Any]:
    """What the head of a state file says of its writing."""
    now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    return {"at": now, "by": provenance.who(), "operation": operation, "changes": dict(changes)}


def _started(pid: int) -> str:
    """When a process of this machine began, in ticks since boot; empty when there is none, or it ended and waits to be reaped."""
    try:
        _, _, rest = Path(f"/proc/{pid}/stat").read_text().rpartition(")")
    except OSError:
        return _exists(pid)
    fields = rest.split()
    return "" if fields[0] == "Z" else fields[19]


def _exists(pid: int) -> str:
    """The same where there is no /proc: only whether there is one."""
    if Path("/proc/self/stat").exists():
        return ""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return ""
    except PermissionError:
        pass
    return "?"
