"""The objects of one version in a cluster: Deployment, Service, what they are told, and how many pods there are. Pure."""

from __future__ import annotations

from typing import Any

from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.naming import ADDRESS, revision_name
from mlctl.types.jobs.rollout import Revision

CONFIG_MARK = "config"  # what stands for the name of the ConfigMap in the pods of a revision


def config_map(asked: Asked, revision: Revision) -> dict[str, Any] | None:
    """The files that the pods read. It is never changed: a new version has a new one."""
    files = revision.params["files"]
    if not files:
        return None
    name = revision_name(revision.digest)
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": asked.owner.metadata(asked.owner.of(name), name),
        "immutable": True,
        "data": dict(sorted(files.items())),
    }


def deployment(asked: Asked, revision: Revision) -> dict[str, Any]:
    """The pods of a version. New pods are ready before old ones leave."""
    name, owner = revision_name(revision.digest), asked.owner
    spec: dict[str, Any] = {
        "selector": {"matchLabels": owner.pods(name)},
        "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
        "minReadySeconds": 2,
        "progressDeadlineSeconds": round(asked.start_seconds),
        "revisionHistoryLimit": 2,
        "template": {
            "metadata": {"labels": owner.metadata("", name)["labels"], "annotations": _told(asked, revision)},
            "spec": pod_spec(asked, revision),
        },
    }
    if asked.scale.replicas is not None:  # else an autoscaler's
        spec["replicas"] = asked.scale.replicas
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": owner.metadata(owner.of(name), name, _told(asked, revision)),
        "spec": spec,
    }


def service(asked: Asked, revision: Revision) -> dict[str, Any]:
    """What the pods of a version are reached by."""
    name = revision_name(revision.digest)
    return _service(asked, asked.owner.of(name), name, asked.owner.pods(name))


def front(asked: Asked, revision: Revision) -> dict[str, Any]:
    """Where there is no route: one Service, whose pods are those of the version that answers."""
    name = revision_name(revision.digest)
    return _service(asked, asked.owner.name, "", asked.owner.pods(name))


def autoscaler(asked: Asked, revision: Revision) -> dict[str, Any] | None:
    """As many pods as are needed: by CPU alone with what Kubernetes has itself, else through KEDA."""
    scale, owner, name = asked.scale, asked.owner, revision_name(revision.digest)
    if scale.replicas is not None:
        return None
    target = {"apiVersion": "apps/v1", "kind": "Deployment", "name": owner.of(name)}
    if not scale.triggers:
        metric = {"name": "cpu", "target": {"type": "Utilization", "averageUtilization": round(scale.cpu or 0)}}
        return {
            "apiVersion": "autoscaling/v2",
            "kind": "HorizontalPodAutoscaler",
            "metadata": owner.metadata(owner.of(name), name),
            "spec": {
                "scaleTargetRef": target,
                "minReplicas": scale.least,
                "maxReplicas": scale.most,
                "metrics": [{"type": "Resource", "resource": metric}],
            },
        }
    return {
        "apiVersion": "keda.sh/v1alpha1",
        "kind": "ScaledObject",
        "metadata": owner.metadata(owner.of(name), name),
        "spec": {
            "scaleTargetRef": target,
            "minReplicaCount": scale.least,
            "maxReplicaCount": scale.most,
            "triggers": _triggers(asked, owner.of(name)),
        },
    }


def disruption_budget(asked: Asked, revision: Revision) -> dict[str, Any] | None:
    """At most one pod is taken away at a time, where there are several: of a single one, it would keep nodes from being emptied."""
    if (asked.scale.replicas or asked.scale.least) < 2:
        return None
    name, owner = revision_name(revision.digest), asked.owner
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": owner.metadata(owner.of(name), name),
        "spec": {"maxUnavailable": 1, "selector": {"matchLabels": owner.pods(name)}},
    }


def pod_spec(asked: Asked, revision: Revision) -> dict[str, Any]:
    """The PodSpec of a revision, with the name of its ConfigMap put in."""
    spec: dict[str, Any] = dict(revision.params["pod"])
    config = asked.owner.of(revision_name(revision.digest))
    spec["volumes"] = [
        {**volume, "configMap": {"name": config}} if volume.get("configMap", {}).get("name") == CONFIG_MARK else volume
        for volume in spec["volumes"]
    ]
    return spec


def _service(asked: Asked, name: str, revision: str, pods: dict[str, str]) -> dict[str, Any]:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": asked.owner.metadata(name, revision),
        "spec": {
            "type": "ClusterIP",
            "selector": pods,
            "ports": [{"name": "http", "port": asked.port, "protocol": "TCP", "targetPort": "http"}],
        },
    }


def _triggers(asked: Asked, pods: str) -> list[dict[str, Any]]:
    """Prometheus is asked of the pods of this version alone; what is asked is per pod, so that the whole is divided by it."""
    found: list[dict[str, Any]] = []
    if asked.scale.cpu is not None:
        found.append({"type": "cpu", "metricType": "Utilization", "metadata": {"value": f"{asked.scale.cpu:g}"}})
    for trigger in asked.scale.triggers:
        query = trigger["query"].replace("@PODS@", f'namespace="{asked.namespace}",pod=~"{pods}-.*"')
        found.append({"type": "prometheus", "metricType": "AverageValue", "metadata": {**trigger, "query": query}})
    return found


def _told(asked: Asked, revision: Revision) -> dict[str, str]:
    return {ADDRESS: asked.address, "mlctl.io/model": revision.model, "mlctl.io/version": revision.version}
