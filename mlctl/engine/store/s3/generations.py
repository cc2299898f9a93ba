"""The generations of a state in a bucket, an object each."""

from __future__ import annotations

import re
from concurrent.futures import ThreadPoolExecutor

from mlctl.engine.store import format
from mlctl.engine.store.folders import damaged_generation, described, no_generation
from mlctl.engine.store.protocol import GENERATIONS, Generation
from mlctl.engine.store.s3.bucket import Blob, Bucket, Listed
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import State

STATE, FOLDER = "state.json", "generations/"
_NAME = re.compile(r"generations/(\d{8,})\.json")


class BucketGenerations:
    """Copies of the state, each under its serial; the newest is a copy of the present one. All methods raise MlctlError."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket

    def complete(self, present: Blob | None, serial: int) -> list[str]:
        """See that the present state has its copy, which a kill may have prevented; gives the names to drop with the next one."""
        found = self._found()
        if present is not None and serial not in found:
            self.keep(serial, present.data)
            found[serial] = Listed(_name(serial), len(present.data))
        return [found[old].name for old in sorted(found)[: -(GENERATIONS - 1)]]

    def keep(self, serial: int, data: bytes) -> None:
        """Keep one."""
        self._bucket.put(_name(serial), data)

    def newest(self) -> int:
        """The highest serial, 0 when there is none."""
        return max(self._found(), default=0)

    def all(self) -> list[Generation]:
        """All of them and the present one, the newest first; a kill may have come before its copy was made."""
        found = self._found()
        with ThreadPoolExecutor(8) as pool:
            looked = list(pool.map(lambda serial: self._look(serial, found[serial]), sorted(found, reverse=True)))
        present = next((self._look(0, item) for item in self._bucket.names(STATE) if item.name == STATE), None)
        if present is not None and not present.damaged and present.serial not in found:
            looked = sorted([*looked, present], key=lambda item: -item.serial)
        return looked

    def get(self, serial: int) -> State:
        """One of them."""
        blob = self._bucket.get(_name(serial))
        if blob is None:
            blob = self._bucket.get(STATE)
            if blob is not None and _serial(blob.data) != serial:
                blob = None
        if blob is None:
            raise no_generation(serial, sorted(self._found(), reverse=True))
        try:
            return format.decode(blob.data)
        except format.DamagedError as error:
            raise damaged_generation(serial, f"{self._bucket.place}/{_name(serial)}", error) from error

    def _look(self, serial: int, item: Listed) -> Generation:
        """A generation by the first line of its object."""
        try:
            if item.size == 0:
                raise format.DamagedError("it is empty")
            return described(format.head(self._bucket.first_line(item.name)), item.size, serial)
        except (format.DamagedError, MlctlError):
            return Generation(serial, item.size, damaged=True)

    def _found(self) -> dict[int, Listed]:
        return {int(match[1]): item for item in self._bucket.names(FOLDER) if (match := _NAME.fullmatch(item.name))}


def _serial(data: bytes) -> int | None:
    """The serial that the bytes of a state name."""
    try:
        return format.head(data.partition(b"\n")[0]).serial
    except (format.DamagedError, MlctlError):
        return None


def _name(serial: int) -> str:
    return f"{FOLDER}{serial:08d}.json"
