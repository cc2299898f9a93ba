"""Environments of their own, for tools that want other versions of libraries than mlctl does: where they are, and what is in them."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

READY_FILE = "ready.json"  # written last: an environment without it is half made


@dataclass(frozen=True, slots=True)
class Pinned:
    """What an environment holds: packages as pip names them, and what they are for."""

    version: str
    packages: tuple[str, ...]
    what: str


ENVIRONMENTS: dict[str, Pinned] = {
    "skypilot": Pinned("0.14.1", ("skypilot==0.14.1",), "training on machines that SkyPilot rents or finds"),
}


def environments_home() -> Path:
    """Where they are kept: they can be made again at any time."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "mlctl" / "environments"


def environment_folder(name: str) -> Path:
    """The folder of an environment. Raises KeyError for a name that is not known."""
    return environments_home() / f"{name}-{ENVIRONMENTS[name].version}"


def environment_ready(name: str) -> bool:
    """Whether it is there, and whole."""
    return (environment_folder(name) / READY_FILE).exists()


def environment_python(name: str) -> Path:
    """Its interpreter."""
    return environment_folder(name) / "bin" / "python"
