"""The spec of a monitor: what is watched, what it is compared with, and when to raise an alarm."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from mlctl.provider import Reference, Spec
from mlctl.providers.evidently.spec.data import DataDrift


class MonitorSpec(Spec):
    """A monitor of a deployment. Each block but `deployment` and `reference` is a part, which watches one thing."""

    deployment: Annotated[str, Reference("deployments")]
    reference: Annotated[str | None, Field(min_length=1)] = None  # a training profile
    data: DataDrift | None = None
