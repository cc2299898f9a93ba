"""Well-known open models by name, so that a plan can count one whose files are not here yet."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from mlctl.estimate.shapes import LanguageShape, from_config

_TABLE = Path(__file__).with_name("models.yaml")


def shape_named(name: str) -> LanguageShape | None:
    """The shape of a model by its hub id, or by the last part of it; None for what is not known by that name."""
    config = config_named(name)
    return None if config is None else from_config(config)


def config_named(name: str) -> Mapping[str, Any] | None:
    """What the config.json of a model says of its sizes, by the same names."""
    return _configs().get(name.lower())


@cache
def _configs() -> dict[str, Mapping[str, Any]]:
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    found = {}
    for row in yaml.load(_TABLE.read_text(), loader)["models"]:  # noqa: S506  a safe loader either way
        for name in row["names"]:
            found[name.lower()] = found[name.rpartition("/")[2].lower()] = row["config"]
    return found
