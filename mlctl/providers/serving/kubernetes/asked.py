"""What an apply asks of a cluster: kept there beside the state of the rollout, so that an order needs nothing but the cluster."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from mlctl.providers.serving.kubernetes.naming import Owner
from mlctl.types.jobs.rollout import Wanted


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class Scale(_Part):
    """How many pods. What is not given is not said, so that an autoscaler can say it."""

    replicas: int | None = None
    least: int = 1
    most: int = 1
    cpu: float | None = None
    triggers: list[dict[str, str]] = []  # of KEDA, as its Prometheus scaler takes them


class Route(_Part):
    """Where requests come in."""

    gateway: str
    gateway_namespace: str | None
    hostnames: list[str] = []
    path: str = "/"
    timeout_seconds: float


class Monitored(_Part):
    """How Prometheus is told of the pods. `token` is the Secret and key of whom to let in."""

    labels: dict[str, str] = {}
    interval_seconds: float = 30.0
    token: tuple[str, str] | None = None


class Asked(_Part):
    """All of it. `Wanted.revision.params` and those of its arms have the pods of a version (`{"pod", "files", "storage"}`)."""

    name: str
    namespace: str
    lineage: str
    address: str
    mode: Literal["deployment", "standard", "knative", "llm"]
    port: int
    start_seconds: float
    drain_seconds: float
    wanted: Wanted
    scale: Scale
    route: Route | None = None
    allow_from: list[str] | None = None
    monitored: Monitored | None = None

    @property
    def owner(self) -> Owner:
        """Whose the objects are."""
        return Owner(self.name, self.namespace, self.lineage, self.address)


def pod_params(pod: dict[str, Any], files: dict[str, str], storage: str, model_name: str) -> dict[str, Any]:
    """The parameters of a revision on a cluster."""
    return {"pod": pod, "files": files, "storage": storage, "name": model_name}
