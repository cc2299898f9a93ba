"""Well-known open models by name, so that a plan can count one whose files are not here yet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

# What their config.json says of sizes, under their ids on the hub; `sliding_window` is there where some layers or all look back only
# so far. Mixtures of experts and models with a vision part are left out: their memory and time are counted otherwise.
_TABLE = os.path.join(os.path.dirname(__file__), "models.json")


def config_named(name: str) -> Mapping[str, Any] | None:
    """What the config.json of a model says of its sizes, by its hub id or the last part of it; None for what is not known by that
    name."""
    return _configs().get(name.lower())


@cache
def _configs() -> dict[str, Mapping[str, Any]]:
    import json

    with open(_TABLE, encoding="utf-8") as file:
        listed = json.load(file)["models"]
    found = {}
    for row in listed:
        for name in row["names"]:
            found[name.lower()] = found[name.rpartition("/")[2].lower()] = row["config"]
    return found
