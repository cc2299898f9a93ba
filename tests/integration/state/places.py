"""Places that keep a state, each able to say what a SIGKILL at any moment would leave there."""

from __future__ import annotations

import shutil
import uuid
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from mlctl.engine.journal import Journal
from mlctl.engine.store import LocalStore, Store
from mlctl.engine.store.s3.place import Place
from mlctl.engine.store.s3.store import S3Store
from mlctl.files import atomic


class World(ABC):
    """One place, which several stores may open at once."""

    @abstractmethod
    def open(self) -> Store:
        """A store as another process would open it."""

    @abstractmethod
    def left(self) -> World:
        """A copy of all there is, with a lock that nobody holds: what a SIGKILL now leaves, once the lock is free."""

    @abstractmethod
    @contextmanager
    def watched(self) -> Iterator[list[World]]:
        """Collects what a SIGKILL before and after every single write would leave."""

    @abstractmethod
    def files(self) -> dict[str, bytes]:
        """Every file or object by name, but the lock."""

    @abstractmethod
    def write(self, name: str, data: bytes) -> None:
        """Put something there behind the back of the store."""

    @abstractmethod
    def remove(self, name: str) -> None:
        """Take something away behind its back."""


def look(world: World, seen: list[World]) -> None:
    """Add what a SIGKILL now leaves, unless it is the same as a moment before."""
    if not seen or seen[-1].files() != world.files():
        seen.append(world.left())


@dataclass
class LocalWorld(World):
    """A folder."""

    home: Path
    patch: pytest.MonkeyPatch

    def open(self) -> Store:
        return LocalStore(self.home)

    def left(self) -> World:
        copy = self.home.with_name(f"copy-{uuid.uuid4().hex}")
        shutil.copytree(self.home, copy) if self.home.exists() else copy.mkdir()
        return LocalWorld(copy, self.patch)

    @contextmanager
    def watched(self) -> Iterator[list[World]]:
        seen: list[World] = []

        def around(call: Callable[..., Any]) -> Callable[..., Any]:
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                look(self, seen)
                result = call(*args, **kwargs)
                look(self, seen)
                return result

            return wrapper

        with self.patch.context() as patch:
            patch.setattr(atomic, "write_bytes", around(atomic.write_bytes))
            patch.setattr(Journal, "append", around(Journal.append))
            patch.setattr(Path, "unlink", around(Path.unlink))
            yield seen

    def files(self) -> dict[str, bytes]:
        return {
            path.relative_to(self.home).as_posix(): path.read_bytes()
            for path in sorted(self.home.rglob("*"))
            if path.is_file() and path.name not in ("lock", "lock.json")
        }

    def write(self, name: str, data: bytes) -> None:
        (self.home / name).write_bytes(data)

    def remove(self, name: str) -> None:
        (self.home / name).unlink()


@dataclass
class Client:
    """A client of boto3 with a hook around every write."""

    real: Any
    before: Callable[[str, dict[str, Any]], None] = lambda name, arguments: None
    after: Callable[[str, dict[str, Any]], None] = lambda name, arguments: None

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.real, name)
        if name not in ("put_object", "delete_object", "delete_objects"):
            return found

        def call(**arguments: Any) -> Any:
            self.before(name, arguments)
            answer = found(**arguments)
            self.after(name, arguments)
            return answer

        return call


@dataclass
class BucketWorld(World):
    """A prefix of a bucket."""

    client: Any
    bucket: str
    home: Path
    prefix: str = field(default_factory=lambda: uuid.uuid4().hex)

    @property
    def place(self) -> Place:
        return Place(self.bucket, self.prefix)

    def open(self, *, client: Any = None, lease_seconds: float = 60.0) -> S3Store:
        return S3Store(self.place, self.home, client=client or self.client, lease_seconds=lease_seconds)

    def left(self) -> World:
        copy = BucketWorld(self.client, self.bucket, self.home)
        for name, data in self.files().items():
            copy.write(name, data)
        return copy

    @contextmanager
    def watched(self) -> Iterator[list[World]]:
        seen: list[World] = []

        def watch(name: str, arguments: dict[str, Any]) -> None:
            look(self, seen)

        watching = Client(self.client, watch, watch)
        self.client, real = watching, self.client
        try:
            yield seen
        finally:
            self.client = real

    def files(self) -> dict[str, bytes]:
        listed = self._real.list_objects_v2(Bucket=self.bucket, Prefix=f"{self.prefix}/").get("Contents", ())
        names = [item["Key"].removeprefix(f"{self.prefix}/") for item in listed]
        return {name: self.read(name) for name in names if name != "lock.json"}

    def read(self, name: str) -> bytes:
        data: bytes = self._real.get_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")["Body"].read()
        return data

    def write(self, name: str, data: bytes) -> None:
        self._real.put_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}", Body=data)

    def remove(self, name: str) -> None:
        self._real.delete_object(Bucket=self.bucket, Key=f"{self.prefix}/{name}")

    @property
    def _real(self) -> Any:
        return self.client.real if isinstance(self.client, Client) else self.client
