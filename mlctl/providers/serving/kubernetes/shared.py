"""Objects that all versions of a deployment share: who may reach the pods, and how they are measured. Pure."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.naming import DEPLOYMENT


def objects(asked: Asked) -> Iterator[dict[str, Any]]:
    """Those that are asked for."""
    if asked.allow_from is not None:
        yield network_policy(asked, asked.allow_from)
    if asked.monitored is not None:
        yield service_monitor(asked)


def network_policy(asked: Asked, namespaces: list[str]) -> dict[str, Any]:
    """Only pods of some namespaces may connect, and only to the port of the server."""
    peers = [
        {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": name}}} for name in sorted(namespaces)
    ]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "NetworkPolicy",
        "metadata": asked.owner.metadata(asked.owner.name),
        "spec": {
            "podSelector": {"matchLabels": {DEPLOYMENT: asked.owner.name}},
            "policyTypes": ["Ingress"],
            "ingress": [{"from": peers, "ports": [{"protocol": "TCP", "port": asked.port}]}],
        },
    }


def service_monitor(asked: Asked) -> dict[str, Any]:
    """Prometheus asks each pod of each version; a version has a Service, and by its label its series are told apart."""
    monitored = asked.monitored
    if monitored is None:
        raise ValueError("nothing is to be monitored")
    endpoint: dict[str, Any] = {"port": "http", "path": "/metrics", "interval": f"{round(monitored.interval_seconds)}s"}
    if monitored.token is not None:
        secret, key = monitored.token
        endpoint["authorization"] = {"type": "Bearer", "credentials": {"name": secret, "key": key}}
    metadata = asked.owner.metadata(asked.owner.name)
    metadata["labels"] = dict(sorted({**monitored.labels, **metadata["labels"]}.items()))
    return {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "ServiceMonitor",
        "metadata": metadata,
        "spec": {
            "selector": {
                "matchLabels": dict(sorted(asked.owner.mark.items())),
                # of a version: the Service in front of all would have its pods asked twice
                "matchExpressions": [{"key": "mlctl.io/revision", "operator": "Exists"}],
            },
            "targetLabels": ["mlctl.io/revision"],
            "endpoints": [endpoint],
        },
    }
