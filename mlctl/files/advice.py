"""Advice: what one kind of resource has found out about an object of another, for a plan to tell.

advice/ADDRESS.json, below an environment's home. Whoever gives advice takes it back when it does not hold any more; whoever
shows it holds `of` against the object as it is.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from mlctl.files import atomic
from mlctl.types.value import Json

_FOLDER = "advice"


@dataclass(frozen=True)
class Advice:
    """`text` for a person; `of` are the fields of the object's spec that it rests on; `by` is the address that gives it."""

    address: str
    by: str
    text: str
    of: Mapping[str, Json]


def give(home: Path, advice: Advice) -> None:
    """Put it where plans look, in place of what was there."""
    folder = home / _FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    atomic.write_json(folder / f"{advice.address}.json", asdict(advice))


def take(home: Path, address: str) -> Advice | None:
    """The advice on an object, if there is some that can be read."""
    try:
        return Advice(**json.loads((home / _FOLDER / f"{address}.json").read_bytes()))
    except (OSError, ValueError, TypeError):
        return None


def withdraw(home: Path, address: str, by: str) -> None:
    """Take back what `by` has given on an object. Nothing there, or somebody else's, is left alone."""
    known = take(home, address)
    if known is not None and known.by == by:
        (home / _FOLDER / f"{address}.json").unlink(missing_ok=True)
