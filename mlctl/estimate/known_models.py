"""Well-known open models by name, so that a plan can count one whose files are not here yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

# What their config.json says of sizes, under their ids on the hub; `sliding_window` is there where some layers or all look back only
# so far. Mixtures of experts and models with a vision part are left out: their memory and time are counted otherwise.
_TABLE = os.path.join(os.path.dirname(__file__), "models.json")

_SLIP = 0.93  # of a name is the same: a letter or two are wrong, and it is not another model of the same family


def config_named(name: str) -> Mapping[str, Any] | None:
    """What the config.json of a model says of its sizes, by its hub id or the last part of it; None for what is not known by that
    name."""
    return _configs().get(name.lower())


def nearest(name: str) -> str | None:
    """The id of a well-known model that was probably meant by a name that is none; None where that is anybody's guess."""
    from difflib import get_close_matches

    ids = {item.lower(): item for row in _listed() for item in row["names"]}
    close = get_close_matches(name.lower(), ids, n=1, cutoff=_SLIP)
    return ids[close[0]] if close else None


@cache
def _listed() -> list[dict[str, Any]]:
    import json

    with open(_TABLE, encoding="utf-8") as file:
        listed: list[dict[str, Any]] = json.load(file)["models"]
    return listed


@cache
def _configs() -> dict[str, Mapping[str, Any]]:
    found = {}
    for row in _listed():
        for name in row["names"]:
            found[name.lower()] = found[name.rpartition("/")[2].lower()] = row["config"]
    return found
