"""Where the state is kept, and the right to change it. The way in is `open_store`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.engine.store.local import LocalStore
from mlctl.engine.store.protocol import GENERATIONS, Generation, Holder, Store
from mlctl.engine.store.session import Session

__all__ = ["GENERATIONS", "Generation", "Holder", "LocalStore", "Session", "Store", "open_store"]


def open_store(home: Path, settings: Mapping[str, Any] | None, project: str, environment: str) -> Store:
    """The store of an environment, from the `state` block of the project as plain values; none means the folder `home`.

    Raises MlctlError when the block cannot be used. Nothing is read or reached yet.
    """
    if settings is None or settings.get("backend", "local") == "local":
        return LocalStore(home)
    from mlctl.engine.store.s3.place import Place
    from mlctl.engine.store.s3.store import S3Store

    return S3Store(Place.of(settings, project, environment), home)
