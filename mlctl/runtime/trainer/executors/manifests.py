"""The objects that Kubernetes is given for a training: pure functions, the same bytes for the same order."""

from __future__ import annotations

from typing import Any

from mlctl.runtime.trainer.executors.away import Order
from mlctl.runtime.trainer.executors.remote import FAILED
from mlctl.types.jobs.remote import KubernetesExecutor

CONTAINER = "train"
_PORT = 29500
_SCRATCH, _SHARED_MEMORY = "/scratch", "/dev/shm"  # noqa: S108 (in a container)
_GRACE_SECONDS = 120  # ranks get 30 of them; the rest is for their checkpoint to leave the machine
_LABEL_LENGTH = 63
# What of an address may not stand in a label; the whole of it is in an annotation.
_KEPT = "-_."


def job(order: Order, executor: KubernetesExecutor) -> dict[str, Any]:
    """An Indexed Job: pod k is node k, and is started anew when it dies, but not when a rank raised an error."""
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": _metadata(order, executor),
        "spec": {
            "completionMode": "Indexed",
            "completions": order.nodes,
            "parallelism": order.nodes,
            "backoffLimit": executor.restarts * order.nodes,  # when one dies, the others leave too
            **_deadline(order),
            "ttlSecondsAfterFinished": executor.keep_seconds,
            "podFailurePolicy": {
                "rules": [
                    {
                        "action": "FailJob",
                        "onExitCodes": {"containerName": CONTAINER, "operator": "In", "values": [FAILED]},
                    },
                    {"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]},
                ]
            },
            "template": {"metadata": {"labels": labels(order)}, "spec": _pod(order, executor)},
        },
    }


def service(order: Order, executor: KubernetesExecutor, owner: dict[str, Any]) -> dict[str, Any]:
    """What gives the pods of several nodes names to find each other by. It goes with the job that owns it."""
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {**_metadata(order, executor), "ownerReferences": [owner]},
        "spec": {
            "clusterIP": "None",
            "publishNotReadyAddresses": True,
            "selector": {"mlctl.io/attempt": order.attempt},
            "ports": [{"name": "rendezvous", "port": _PORT, "protocol": "TCP", "targetPort": _PORT}],
        },
    }


def train_job(order: Order, executor: KubernetesExecutor) -> dict[str, Any]:
    """A TrainJob of Kubeflow Trainer: its runtime makes the pods, and tells torchrun in each who the others are."""
    return {
        "apiVersion": "trainer.kubeflow.org/v1alpha1",
        "kind": "TrainJob",
        "metadata": _metadata(order, executor),
        "spec": {
            **_deadline(order),
            "runtimeRef": {
                "apiGroup": "trainer.kubeflow.org",
                "kind": "ClusterTrainingRuntime",
                "name": executor.runtime,
            },
            "trainer": {
                "image": executor.image,
                "command": ["python", *order.command],
                "env": _environment(executor),
                "numNodes": order.nodes,
                "numProcPerNode": order.processes,
                "resourcesPerNode": _resources(executor),
            },
        },
    }


def labels(order: Order) -> dict[str, str]:
    """By which a person and mlctl find what belongs to a training."""
    found = {f"mlctl.io/{name}": _label(value) for name, value in sorted(order.labels.items())}
    return {"app.kubernetes.io/managed-by": "mlctl", **found}


def _deadline(order: Order) -> dict[str, Any]:
    return {} if order.deadline is None else {"activeDeadlineSeconds": order.deadline}


def _metadata(order: Order, executor: KubernetesExecutor) -> dict[str, Any]:
    return {
        "name": order.name,
        "namespace": executor.namespace,
        "labels": labels(order),
        "annotations": {"mlctl.io/address": order.labels["address"], "mlctl.io/storage": order.place.url},
    }


def _pod(order: Order, executor: KubernetesExecutor) -> dict[str, Any]:
    shared = {"medium": "Memory", "sizeLimit": executor.shared_memory}
    spec: dict[str, Any] = {
        "restartPolicy": "Never",
        "terminationGracePeriodSeconds": _GRACE_SECONDS,
        "enableServiceLinks": False,
        "automountServiceAccountToken": False,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": executor.user,
            "runAsGroup": executor.user,
            "fsGroup": executor.user,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "containers": [_container(order, executor)],
        "volumes": [
            {"name": "scratch", "emptyDir": {}},
            *([{"name": "shared-memory", "emptyDir": shared}] if executor.shared_memory else []),
        ],
    }
    if order.nodes > 1:
        spec["subdomain"] = order.name
    if executor.service_account is not None:
        spec["serviceAccountName"] = executor.service_account
    if executor.node_selector:
        spec["nodeSelector"] = dict(sorted(executor.node_selector.items()))
    if executor.tolerations:
        spec["tolerations"] = [item.model_dump(exclude_none=True) for item in executor.tolerations]
    return spec


def _container(order: Order, executor: KubernetesExecutor) -> dict[str, Any]:
    return {
        "name": CONTAINER,
        "image": executor.image,
        "command": ["python", *order.command],
        "args": ["--", *_torchrun(order)],
        "workingDir": _SCRATCH,
        "env": _environment(executor),
        "resources": _resources(executor),
        "securityContext": {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}},
        "volumeMounts": [
            {"name": "scratch", "mountPath": _SCRATCH},
            *([{"name": "shared-memory", "mountPath": _SHARED_MEMORY}] if executor.shared_memory else []),
        ],
    }


def _torchrun(order: Order) -> list[str]:
    each = ["--nproc-per-node", str(order.processes)]
    if order.nodes == 1:
        return ["--standalone", *each]
    first = f"{order.name}-0.{order.name}"
    rendezvous = ["--node-rank", "$(JOB_COMPLETION_INDEX)", "--master-addr", first, "--master-port", str(_PORT)]
    return ["--nnodes", str(order.nodes), *each, *rendezvous]


def _environment(executor: KubernetesExecutor) -> list[dict[str, Any]]:
    own = [] if executor.kind == "trainjob" else [{"name": "HOME", "value": _SCRATCH}]
    plain = [{"name": name, "value": value} for name, value in sorted(executor.env.items())]
    secret = [
        {"name": name, "valueFrom": {"secretKeyRef": {"name": item.secret, "key": item.key}}}
        for name, item in sorted(executor.secrets.items())
    ]
    return [*own, *plain, *secret]


def _resources(executor: KubernetesExecutor) -> dict[str, Any]:
    """The same asked for and allowed: a pod of which more may be taken away is of no use to a training."""
    amounts = {"cpu": executor.cpus, "memory": executor.memory}
    if executor.gpus:
        amounts[executor.gpu_resource] = str(executor.gpus)
    return {"requests": amounts, "limits": dict(amounts)}


def _label(text: str) -> str:
    kept = "".join(letter if letter.isascii() and (letter.isalnum() or letter in _KEPT) else "-" for letter in text)
    return kept[:_LABEL_LENGTH].strip(_KEPT)
