"""The project block `feature_store`: where history is read from, and where the latest values are served from."""

from __future__ import annotations

from typing import Literal

from mlctl.provider import Block


class Offline(Block):
    """The offline store: what reads snapshots for training."""

    type: Literal["duckdb"] = "duckdb"


class Online(Block):
    """The online store: what a model server reads the latest values from."""

    type: Literal["sqlite"] = "sqlite"


class FeatureStore(Block):
    """The feature store of a project. All its files are kept in the environment's own folder."""

    offline: Offline = Offline()
    online: Online = Online()
