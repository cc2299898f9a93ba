"""What is known of a language model before it is loaded: its config.json, wherever the project has it from."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.estimate.known_models import config_named, nearest
from mlctl.estimate.shapes import UnknownShape
from mlctl.files import atomic
from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError

_REFERENCE = "${"
_CONFIG = "config.json"


def model_config(base: str, revision: str | None, ctx: Context) -> Mapping[str, Any]:
    """The config.json of a language model: of a folder, of what was fetched from a hub before, or of a model of a hub that is
    well known. Raises UnknownShape."""
    if is_pending(base):
        raise UnknownShape(f"the base `{base}` is still to be made")
    try:
        found = saved_config(_fetched(base, revision) if revision is not None else ctx.path(base))
    except MlctlError:
        raise UnknownShape(f"`{base}` is outside of the project") from None
    if found is not None:
        return found[1]
    known = config_named(base) if revision is not None else None
    if known is not None:
        return known
    if revision is None:
        raise UnknownShape(f"the config.json of `{base}` is not here")
    meant = nearest(base)
    slip = f"; did you mean `{meant}`?" if meant is not None else ""
    raise UnknownShape(f"the config.json of `{base}` is not here, it comes with the model{slip}")


def is_pending(base: str) -> bool:
    """Whether the base is what something else puts out, and that is still to be made."""
    return _REFERENCE in base


def is_fetched(base: str, revision: str) -> bool:
    """Whether a revision of a hub's model is in the cache of this machine."""
    return (_fetched(base, revision) / _CONFIG).exists()


def saved_config(folder: Path) -> tuple[Path, Mapping[str, Any]] | None:
    """The config.json of a model that is there, saved by Transformers or by MLflow, and the folder of the model's own files."""
    for place in (folder, folder / "model", folder / "data" / "model"):
        stored = atomic.read_object(place / _CONFIG)
        if stored is not None:
            return place, stored
    return None


def _fetched(name: str, revision: str) -> Path:
    """Where the hub's client keeps a revision of a model."""
    home = os.environ.get("HF_HUB_CACHE") or os.path.join(
        os.environ.get("HF_HOME") or os.path.join(os.path.expanduser("~"), ".cache", "huggingface"), "hub"
    )
    return Path(home) / f"models--{name.replace('/', '--')}" / "snapshots" / revision
