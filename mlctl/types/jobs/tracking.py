"""Where runs, models and versions are kept in MLflow, and the marks by which mlctl knows its own."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel

from mlctl.types.value import Json

DEFAULT_URI = "sqlite:///.mlctl/mlflow.db"
SQLITE = "sqlite:///"

# Tags on everything mlctl makes in MLflow. Nothing without them is ever changed or removed.
OBJECT_TAG = "mlctl.object"
LINEAGE_TAG = "mlctl.lineage"
ADDRESS_TAG = "mlctl.address"
DIGEST_TAG = "mlctl.digest"


class TrackingTarget(BaseModel):
    """The MLflow store and experiment of one object."""

    uri: str
    experiment: str
    lineage: str
    address: str
    object: str  # the object key, `section.name#identity`
    labels: dict[str, str] = {}  # more tags, from `owner` and `tags` of the block

    def database(self, root: Path) -> Path | None:
        """The SQLite file behind the URI, or None for a server."""
        return database_path(self.uri, root)

    def marks(self) -> dict[str, str]:
        """The tags that say whose an object is."""
        return {LINEAGE_TAG: self.lineage, ADDRESS_TAG: self.address, OBJECT_TAG: self.object}


def database_path(uri: str, root: Path) -> Path | None:
    """The SQLite file that a tracking URI names (relative ones from the project folder), or None for another scheme."""
    return root / uri.removeprefix(SQLITE) if uri.startswith(SQLITE) else None


def tracking_settings(block: object, project: str) -> tuple[str, str]:
    """The URI and experiment of a project's `tracking` block as it was written; what it leaves out has a default."""
    chosen: Mapping[str, Json] = {}
    if isinstance(block, Mapping):
        chosen = block.get("mlflow") or {}
    return str(chosen.get("uri") or DEFAULT_URI), str(chosen.get("experiment") or project)
