"""Copies of a training's checkpoints in a bucket: made beside the training, which never waits for them, and fetched when it starts.

A checkpoint's files go first and its small JSON file last, as on disk, so that what a kill leaves half copied does not count.
"""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.trainer.checkpoint import Checkpoints
from mlctl.runtime.trainer.objects import UNREACHABLE, Objects, below, fetch_verified, job_place
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.train import CHECKPOINTS, TrainJob

_LOOK_SECONDS = 1.0
_STOPPED_SECONDS, _FLUSH_SECONDS = 8.0, 900.0  # for the last checkpoint
_RETRY_SECONDS, _LONGEST_RETRY_SECONDS = 1.0, 30.0
_STEP = re.compile(r"step-\d{10}")


class CheckpointCopies:
    """Copies each new checkpoint of a folder into a bucket, from a thread; when it falls behind, only the newest."""

    def __init__(self, objects: Objects, folder: Path, keep: int, tell: Callable[[str], None]) -> None:
        self._objects, self._folder, self._keep, self._tell = objects, folder, keep, tell
        self._ending = threading.Event()
        self._copied: str | None = None
        self._waiting: MlctlError | None = None
        self._thread = threading.Thread(target=self._run, name="checkpoint-copies", daemon=True)

    def start(self) -> None:
        """Copy from now on. Raises MlctlError when the bucket cannot be used; one that cannot be reached just now is tried again."""
        try:
            self._objects.check()
            self._objects.drop_unfinished()
            self._copied = newest_copy(self._objects)
        except MlctlError as error:
            if error.diagnostics[0].code != UNREACHABLE:
                raise
            self._note(error)
        self._thread.start()

    def close(self, seconds: float) -> MlctlError | None:
        """Copy the last one and end, within so many seconds; what kept it from being copied, if anything did."""
        self._ending.set()
        self._thread.join(seconds)
        newest = newest_in(self._folder)
        if newest is None or (self._copied is not None and newest <= self._copied):
            return None
        return self._waiting or MlctlError.of(
            "storage.slow",
            f"the checkpoint of {newest} is not in `{self._objects.storage.url}` yet",
            f"copying it took longer than {seconds:.0f} s",
            "it is on this machine; the next `mlctl apply` copies it",
        )

    def _run(self) -> None:
        pause = _RETRY_SECONDS
        while True:
            last = self._ending.is_set()  # looked at before copying: what is written before the end is copied
            try:
                self.copy_newest()
            except MlctlError as error:
                self._note(error)
                if last and error.diagnostics[0].code != UNREACHABLE:
                    return
                time.sleep(pause) if last else self._ending.wait(pause)
                pause = min(2 * pause, _LONGEST_RETRY_SECONDS)
            else:
                self._waiting, pause = None, _RETRY_SECONDS
                if last:
                    return
                self._ending.wait(_LOOK_SECONDS)

    def copy_newest(self) -> None:
        """Copy the newest checkpoint, if that is not there yet, and drop older copies. Raises MlctlError."""
        while (name := newest_in(self._folder)) is not None and (self._copied is None or name > self._copied):
            try:
                facts = (self._folder / f"{name}.json").read_bytes()
                for file in json.loads(facts)["files"]:
                    self._objects.put_file(f"{name}/{file}", self._folder / name / file)
            except FileNotFoundError as error:
                if newest_in(self._folder) != name:
                    continue  # the training has dropped it meanwhile; there is a newer one
                raise _unreadable(name, error) from error
            except (OSError, ValueError, KeyError, TypeError) as error:
                raise _unreadable(name, error) from error
            self._objects.put(f"{name}.json", facts)
            self._copied = name
            self._prune()

    def _prune(self) -> None:
        """Drop all but the newest copies: first what makes them count, then the files."""
        there = self._objects.names()
        kept = set(sorted((name for name in map(_counted, there) if name), reverse=True)[: self._keep])
        old = [name for name in there if (step := _STEP.match(name)) and step[0] not in kept]
        self._objects.delete([name for name in old if _counted(name)])
        self._objects.delete([name for name in old if not _counted(name)])

    def _note(self, error: MlctlError) -> None:
        """Tell what goes wrong once, and not each time it is tried."""
        found = error.diagnostics[0]
        if self._waiting is None or self._waiting.diagnostics[0].code != found.code:
            self._tell(f"checkpoints are not copied: {found.summary}; trying again")
        self._waiting = error


def begin_copies(job: TrainJob, folder: Path, tell: Callable[[str], None]) -> CheckpointCopies | None:
    """Bring what is newer in the bucket, and copy what comes, for a training that asks for copies. Raises MlctlError."""
    storage = job.recipe.checkpoint.storage
    if storage is None:
        return None
    objects = Objects(below(job_place(storage, job.tracking), CHECKPOINTS))
    place = folder / CHECKPOINTS
    copies = CheckpointCopies(objects, place, job.recipe.checkpoint.keep, tell)
    try:
        fetch_newest(objects, place, tell)
    except MlctlError as error:
        if error.diagnostics[0].code != UNREACHABLE or newest_in(place) is None:
            raise
    copies.start()
    return copies


def end_copies(copies: CheckpointCopies | None, tell: Callable[[str], None], *, stopped: bool) -> None:
    """Copy the last checkpoint, and say so if that cannot be done. Who was asked to stop has not got long."""
    late = None if copies is None else copies.close(_STOPPED_SECONDS if stopped else _FLUSH_SECONDS)
    if late is not None:
        tell(f"{late.diagnostics[0].summary}: {late.diagnostics[0].why}")


def fetch_newest(objects: Objects, folder: Path, tell: Callable[[str], None]) -> str | None:
    """Bring the newest copy that is whole into a folder, if what is whole there is older; its name. Raises MlctlError.

    A copy that is damaged is taken out of the count, and the one before it is tried.
    """
    folder.mkdir(parents=True, exist_ok=True)
    copies = _copies(objects)
    here = Checkpoints(folder, keep=1).newest() if copies else None
    newer = (name for name in copies if here is None or name > here.name)
    return next((name for name in newer if _fetch(objects, name, folder, tell)), None)


def fetch_recent(objects: Objects, folder: Path, count: int, tell: Callable[[str], None]) -> None:
    """Bring the newest few copies into a folder: machines with a disk each go on from one that all of them have. Raises MlctlError."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _copies(objects):
        if count and ((folder / f"{name}.json").exists() or _fetch(objects, name, folder, tell)):
            count -= 1


def _copies(objects: Objects) -> list[str]:
    return sorted((step for step in map(_counted, objects.names()) if step), reverse=True)


def _fetch(objects: Objects, name: str, folder: Path, tell: Callable[[str], None]) -> bool:
    facts = _facts(objects, name)
    if facts is not None:
        tell(f"fetching the checkpoint of {name}")
        if fetch_verified(objects, name, facts["files"], folder / name):
            atomic.write_json(folder / f"{name}.json", facts)
            return True
    tell(f"the copy of {name} is damaged")
    objects.delete([f"{name}.json"])
    return False


def newest_copy(objects: Objects) -> str | None:
    """The newest checkpoint that has a copy. Raises MlctlError."""
    return max((name for name in map(_counted, objects.names()) if name), default=None)


def _facts(objects: Objects, name: str) -> dict[str, Any] | None:
    try:
        facts = objects.get_json(f"{name}.json")
    except ValueError:
        return None
    whole = isinstance(facts, dict) and isinstance(facts.get("files"), dict)
    return facts if whole else None


def _unreadable(name: str, error: Exception) -> MlctlError:
    return MlctlError.of(
        "storage.unreadable",
        f"the checkpoint of {name} cannot be read on this machine",
        f"{type(error).__name__}: {error}",
        "the one before it, and those to come, are copied all the same",
    )


def _counted(name: str) -> str | None:
    """The step whose copy a name makes count: `step-0000000450` for `step-0000000450.json`."""
    step = name.removesuffix(".json")
    return step if step != name and _STEP.fullmatch(step) else None


def newest_in(folder: Path) -> str | None:
    """The newest checkpoint of a folder that counts, unread. A note without a folder is of one on other machines."""
    names = (_counted(path.name) for path in folder.glob("step-*.json"))
    return max((name for name in names if name and (folder / name).is_dir()), default=None)
