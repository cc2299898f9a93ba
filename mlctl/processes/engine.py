"""The engine that servers of a language model keep: its session, written down before it begins, and the end of all of it.

An engine is many processes, and some of them do not end with their parent. Whoever finds the server gone ends what is left.

Releases that differ in nothing but an adapter share one engine: each of them has it written down in its folder, and the last
one of them that runs ends it.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.files.lock import is_locked
from mlctl.types import job as contract
from mlctl.types.jobs.llm import ENGINE_FILE

_GRACE_SECONDS = 5.0
# A process that leads the session of that number and is younger than this is a stranger, who was given the number anew.
_START_SECONDS = 60.0
_BOOT_FILE = Path("/proc/sys/kernel/random/boot_id")
_LOCK_FILE = (
    ".engines.lock"  # beside the releases: who takes part in an engine, and who ends it, is decided by one at a time
)


@dataclass(frozen=True, slots=True)
class Kept:
    """An engine as it is written down in the folder of each release that has it."""

    session: int  # and the pid of its first process
    since: float  # a time (Unix) shortly before that began
    boot: str  # which start of the system that was: numbers of processes mean nothing after another
    folder: str  # where its own files are
    digest: str | None  # of all that it was started with; None for one that is not shared
    key: str  # of those of its paths that only we may ask for
    host: str
    port: int
    ready: bool = False
    ending: bool = False


def boot() -> str:
    """Which start of the system this is, where it tells."""
    try:
        return _BOOT_FILE.read_text().strip()
    except OSError:
        return ""


def record(folder: Path, kept: Kept) -> None:
    """Write down which engine a release has, durably."""
    atomic.write_json(folder / ENGINE_FILE, asdict(kept))


def find(folder: Path) -> Kept | None:
    """The engine of a release, if one is written down."""
    stored = atomic.read_object(folder / ENGINE_FILE)
    with suppress(TypeError):
        return None if stored is None else Kept(**stored)
    return None


def left(folder: Path) -> bool:
    """Whether anything runs of the engine that is written down in a folder."""
    kept = find(folder)
    return kept is not None and bool(members(kept))


def join(folder: Path, digest: str) -> Kept | None:
    """Take part in an engine that another release of ours has, and that is all this one needs. None when there is none."""
    with _alone(folder):
        for sibling in _siblings(folder):
            kept = find(sibling)
            if kept is not None and kept.digest == digest and kept.ready and not kept.ending and members(kept):
                record(folder, kept)
                return kept
    return None


def shared(folder: Path) -> bool:
    """Whether another release that runs has the engine too."""
    kept = find(folder)
    return kept is not None and any(_same(other, kept) for other in map(find, _siblings(folder)))


def leave(folder: Path) -> Kept | None:
    """The engine that is now to be ended, since no other release that runs has it; None when there is nothing to be done."""
    with _alone(folder):
        kept = find(folder)
        if kept is None:
            return None
        if any(_same(other, kept) for other in map(find, _siblings(folder))):
            (folder / ENGINE_FILE).unlink()
            return None
        kept = replace(kept, ending=True)
        record(folder, kept)
        return kept


def end(folder: Path, kept: Kept, grace_seconds: float) -> bool:
    """End all that runs of an engine that nobody else has; whether there was anything."""
    from mlctl.processes import session

    found = bool(members(kept))
    if found:
        session.end(kept.session, kept.since, grace_seconds)
    (folder / ENGINE_FILE).unlink(missing_ok=True)  # the system may give its number to another one day
    return found


def sweep(folder: Path, grace_seconds: float = _GRACE_SECONDS) -> bool:
    """End what a server that is gone has left of its engine; whether there was anything. A server that runs is left alone."""
    if is_locked(folder / contract.LOCK_FILE) or not (folder / ENGINE_FILE).exists():
        return False
    kept = leave(folder)
    return kept is not None and end(folder, kept, grace_seconds)


def members(kept: Kept) -> list[Any]:
    """The living processes of an engine; none when the number of its session is another's by now."""
    import psutil

    from mlctl.processes import session

    if kept.boot != boot():
        return []
    found = session.members(kept.session, kept.since)
    leader = next((item for item in found if item.pid == kept.session), None)
    with suppress(psutil.Error):  # it may end while it is looked at
        if leader is not None and leader.create_time() > kept.since + _START_SECONDS:
            return []
    return found


def _siblings(folder: Path) -> Iterator[Path]:
    """The folders of other releases that run."""
    for path in sorted(folder.parent.iterdir()):
        if path != folder and (path / ENGINE_FILE).exists() and is_locked(path / contract.LOCK_FILE):
            yield path


def _same(one: Kept | None, two: Kept) -> bool:
    return one is not None and (one.session, one.since, one.boot) == (two.session, two.since, two.boot)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Who takes part in an engine, and who ends it, is decided by one release at a time."""
    handle = os.open(folder.parent, os.O_RDONLY | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
