"""What the feature server is told: the parameters of the `feature_server` program."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from mlctl.types.jobs.features import GetParams

TOKEN_VARIABLE = "MLCTL_TOKEN"  # noqa: S105  # the name of it; its value is handed on by the environment alone
LOOPBACK = ("127.0.0.1", "::1", "localhost")


class FeatureServerJob(BaseModel):
    """Where it listens, and what it serves by which name. With `token` every request has to bring the one of the environment."""

    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)

    host: str
    port: int
    token: bool
    views: dict[str, GetParams]
    services: dict[str, GetParams]
