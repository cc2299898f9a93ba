"""Copies of checkpoints whose ranks are on several machines, each with a disk of its own: every machine sends its ranks' files.

Rank 0's machine sends its files and says so by `step-0000000450.node-000`: all ranks had written theirs by then. The others send
theirs and say so in turn. Then rank 0's machine writes `step-0000000450.json` with the digests of all, which makes it count.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable
from pathlib import Path

from blake3 import blake3

from mlctl.runtime.trainer.objects import Objects
from mlctl.runtime.trainer.storage import CheckpointCopies, newest_in

_POLL_SECONDS = 1.0
_LAST_SECONDS = 60.0  # for word from rank 0's machine at the end


class NodeCopies(CheckpointCopies):
    """One machine's part."""

    def __init__(
        self, objects: Objects, folder: Path, keep: int, tell: Callable[[str], None], node: int, nodes: int
    ) -> None:
        super().__init__(objects, folder, keep, tell)
        self._node, self._nodes = node, nodes

    def copy_newest(self) -> None:
        """Do what is to be done for the newest checkpoint. Raises MlctlError."""
        if self._node == 0:
            self._lead()
        else:
            self._follow()

    def _lead(self) -> None:
        while (name := newest_in(self._folder)) is not None and (self._copied is None or name > self._copied):
            try:
                facts = json.loads((self._folder / f"{name}.json").read_bytes())
                self._send(name, self._folder / name)
            except FileNotFoundError:
                continue  # dropped meanwhile; there is a newer one
            notes = [self._objects.get_json(_note(name, node)) for node in range(self._nodes)]
            since: float | None = None
            while None in notes:
                time.sleep(_POLL_SECONDS)
                if newest_in(self._folder) != name:
                    break  # some machine was too slow, and has the newer one to send now
                if self._ending.is_set():
                    since = since or time.monotonic()
                    if time.monotonic() - since > _LAST_SECONDS:
                        return  # that machine is gone, and this one is to be started anew with it
                notes = [self._objects.get_json(_note(name, node)) for node in range(self._nodes)]
            else:
                for note in notes:
                    facts["files"].update(note["files"])
                self._objects.put_json(f"{name}.json", facts)
                self._copied = name
                self._prune()

    def _follow(self) -> None:
        deadline = time.monotonic() + _LAST_SECONDS
        while staged := sorted(self._folder.glob(".step-*.new")):
            for place in staged:
                name = place.name.removeprefix(".").removesuffix(".new")
                if self._objects.get_json(_note(name, 0)) is not None:
                    self._send(name, place)
                    shutil.rmtree(place)
            if not self._ending.is_set() or time.monotonic() > deadline:
                return
            time.sleep(_POLL_SECONDS)

    def _send(self, name: str, place: Path) -> None:
        files = {}
        for path in (item for item in sorted(place.rglob("*")) if item.is_file()):
            file = path.relative_to(place).as_posix()
            self._objects.put_file(f"{name}/{file}", path)
            files[file] = str(blake3().update_mmap(path).hexdigest())
        self._objects.put_json(_note(name, self._node), {"files": files})


def _note(name: str, node: int) -> str:
    return f"{name}.node-{node:03d}"
