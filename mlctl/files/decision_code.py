"""Which code decided: mlctl's version and a digest of the modules that the outcome depends on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from mlctl import __version__


@cache
def _source(module: str) -> bytes:
    spec = find_spec(module)
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError(f"there is no module {module}", name=module)
    return Path(spec.origin).read_bytes()


def code_of(modules: Iterable[str]) -> str:
    """For `Decision.code`, for example `0.6.0 1f2e3d4c5b6a7988`. Raises ModuleNotFoundError for a module that is not there."""
    digest = hashlib.blake2b(digest_size=8)
    for module in sorted(set(modules)):
        digest.update(module.encode() + b"\0" + _source(module) + b"\0")
    return f"{__version__} {digest.hexdigest()}"
