"""Checkpoints that are whole or do not count.

Every rank writes its files into a folder beside, `.step-0000000450.new`. Rank 0 makes them durable, renames the folder to
`step-0000000450`, and then writes `step-0000000450.json` with the digest of each file, which makes it count. A kill at any
moment, a torn file or a flipped bit leaves a checkpoint that does not match, and the one before it is taken.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from blake3 import blake3

from mlctl.files import atomic
from mlctl.types.jobs.recipe import Layout

LAYOUT_FILE = "layout.json"  # in a checkpoint, by which layout it was made
_STAGE, _OLD = ".new", ".old"


class Checkpoints:
    """The checkpoints of one training, in a folder that all of its ranks share."""

    def __init__(self, folder: Path, keep: int) -> None:
        self.folder, self._keep = folder, keep

    def clear(self) -> None:
        """Remove what an earlier try left half done. For rank 0 alone, before any rank stages something."""
        for path in self.folder.glob(".step-*"):
            if path.is_dir():
                shutil.rmtree(path)
            else:
                path.unlink(missing_ok=True)

    def stage(self, step: int) -> Path:
        """The folder beside, the same for all ranks, into which each writes its files. Only `commit` makes it a checkpoint."""
        place = self.folder / f".{_name(step)}{_STAGE}"
        place.mkdir(parents=True, exist_ok=True)
        return place

    def commit(self, step: int, total: int, epoch: int) -> Path:
        """Make the staged files the checkpoint of a step, then drop all but the newest. For rank 0, once all ranks have written."""
        staged, place = self.stage(step), self.folder / _name(step)
        if self._is_whole(place):  # the same steps give the same files, and those are safe
            shutil.rmtree(staged)
            return place
        files = {}
        for path in sorted(staged.rglob("*")):
            if path.is_file():
                _sync(path)
                files[path.relative_to(staged).as_posix()] = _digest(path)
            else:
                atomic.sync_folder(path)
        atomic.sync_folder(staged)
        facts = {"step": step, "total": total, "epoch": epoch, "files": files}
        if LAYOUT_FILE in files:
            facts["layout"] = json.loads((staged / LAYOUT_FILE).read_bytes())
        _note(place).unlink(missing_ok=True)
        if place.exists():  # torn or damaged
            os.replace(place, self.folder / f".{place.name}{_OLD}")
            shutil.rmtree(self.folder / f".{place.name}{_OLD}")
        os.replace(staged, place)
        atomic.sync_folder(self.folder)
        atomic.write_json(_note(place), facts)
        self._drop(place)
        return place

    def newest(self) -> Path | None:
        """The newest checkpoint whose bytes are those that were written. Reads it whole."""
        return next(self._whole(), None)

    def agreed(self, rank: int, world: int) -> Path | None:
        """The newest checkpoint that all ranks have, which need not see the same disk; rank 0 reads it whole. All of them call it."""
        if world == 1:
            return self.newest()
        import torch.distributed as dist

        noted: list[Any] = [None] * world
        dist.all_gather_object(noted, {path.stem for path in self.folder.glob("step-*.json")})
        everywhere = set.intersection(*noted)
        found = next((path for path in self._whole() if path.name in everywhere), None) if rank == 0 else None
        chosen: list[Any] = [None if found is None else found.name]
        dist.broadcast_object_list(chosen, src=0)
        return None if chosen[0] is None else self.folder / chosen[0]

    def position(self, path: Path) -> dict[str, Any]:
        """What is noted about a checkpoint: `step`, `total`, `epoch`, the digests of its `files`, and its `layout`."""
        noted: dict[str, Any] = json.loads(_note(path).read_bytes())
        return noted

    def _whole(self) -> Iterator[Path]:
        for note in sorted(self.folder.glob("step-*.json"), reverse=True):
            if self._is_whole(note.with_suffix("")):
                yield note.with_suffix("")

    def _is_whole(self, path: Path) -> bool:
        try:
            files = self.position(path)["files"]
            return bool(files) and all(_digest(path / name) == digest for name, digest in files.items())
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return False

    def _drop(self, newest: Path) -> None:
        """Drop what is older than the newest ones that are kept, and what lies after the newest: it is of another past."""
        noted = sorted((path.with_suffix("") for path in self.folder.glob("step-*.json")), reverse=True)
        older = [path for path in noted if path.name <= newest.name]
        folders = {path for path in self.folder.glob("step-*") if path.is_dir()}
        for path in sorted((folders | set(noted)) - set(older[: self._keep])):
            _note(path).unlink(missing_ok=True)
            shutil.rmtree(path, ignore_errors=True)


def note_layout(stage: Path, layout: Layout) -> None:
    """Say in a staged checkpoint which layout makes it. For rank 0."""
    atomic.write_json(stage / LAYOUT_FILE, layout_facts(layout))


def layout_facts(layout: Layout) -> dict[str, Any]:
    """A layout as checkpoints note it."""
    return {
        "strategy": layout.strategy,
        "data": layout.data,
        "tensor": layout.tensor,
        "pipeline": layout.pipeline,
        "world": layout.processes,
    }


def layout_of(checkpoint: Path) -> dict[str, Any]:
    """The layout that made a checkpoint."""
    facts: dict[str, Any] = json.loads((checkpoint / LAYOUT_FILE).read_bytes())
    return facts


def _name(step: int) -> str:
    return f"step-{step:010d}"


def _note(path: Path) -> Path:
    return path.with_name(f"{path.name}.json")


def _sync(path: Path) -> None:
    """Make a file durable that any process wrote."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _digest(path: Path) -> str:
    return str(blake3().update_mmap(path).hexdigest())
