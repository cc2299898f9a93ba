"""Ranks in pods of a Kubernetes cluster, through `kubectl`: whose context and credentials are those of whoever applies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from mlctl.files import atomic
from mlctl.runtime.trainer.executors import commands, manifests
from mlctl.runtime.trainer.executors.away import Away, Order, Seen
from mlctl.types.jobs.remote import KubernetesExecutor
from mlctl.types.jobs.train import TrainJob

RENDERED_FILE = "kubernetes.json"
_SECONDS = 60.0
_RESOURCES = {"job": "jobs.batch", "trainjob": "trainjobs.trainer.kubeflow.org"}
_OVER = ("Complete", "Failed")


def executor(job: TrainJob) -> Away:
    """The executor of a job that names this one."""
    asked = job.executor
    if not isinstance(asked, KubernetesExecutor):
        raise TypeError(f"not for kubernetes: {asked.type}")
    return Away(job, asked.storage, asked.nodes, KubernetesCluster(asked))


class KubernetesCluster:
    """One namespace of a cluster."""

    ask_seconds = 10.0

    def __init__(self, asked: KubernetesExecutor, kubectl: str = "kubectl") -> None:
        self._asked, self._kubectl = asked, kubectl
        self._resource = _RESOURCES[asked.kind]

    def submit(self, order: Order) -> None:
        """Declare the job, and then what belongs to it. The same again changes nothing. Raises MlctlError."""
        main = manifests.train_job if self._asked.kind == "trainjob" else manifests.job
        rendered = [main(order, self._asked)]
        atomic.write_json(order.folder / RENDERED_FILE, rendered)
        made = self._apply(rendered[0])
        if order.nodes > 1 and self._asked.kind == "job":
            owner = {
                "apiVersion": "batch/v1",
                "kind": "Job",
                "name": order.name,
                "uid": made["metadata"]["uid"],
                "blockOwnerDeletion": False,
                "controller": False,
            }
            rendered.append(manifests.service(order, self._asked, owner))
            atomic.write_json(order.folder / RENDERED_FILE, rendered)
            self._apply(rendered[1])

    def find(self, name: str) -> Seen | None:
        """How the job is doing, and what its pods wait for. Raises MlctlError."""
        text = self._run("finding the job", "get", self._resource, name, "--ignore-not-found", "-o", "json")
        if not text.strip():
            return None
        status = json.loads(text).get("status", {})
        for item in status.get("conditions", ()):
            if item["type"] in _OVER and item["status"] == "True":
                return Seen(True, " ".join(filter(None, [item["type"], item.get("reason"), item.get("message")])))
        waits = "; ".join(sorted(set(self._waits(name))))
        ready = status.get("ready", 0)
        return Seen(False, f"{ready} of {self._asked.nodes} pods ready{f', {waits}' if waits else ''}")

    def cancel(self, name: str) -> None:
        """Delete the job with its pods; what it owns goes with it. Raises MlctlError."""
        self._run(
            "cancelling the job", "delete", self._resource, name,
            "--ignore-not-found", "--cascade=background", "--wait=false", "--grace-period=30",
        )  # fmt: skip

    def _waits(self, name: str) -> Iterator[str]:
        """Why pods do not run yet: no node has room, an image is not there."""
        attempt = name.rpartition("-")[2]
        text = self._run("listing pods", "get", "pods", "-l", f"mlctl.io/attempt={attempt}", "-o", "json")
        for pod in json.loads(text).get("items", ()):
            status = pod.get("status", {})
            for item in status.get("conditions", ()):
                if item["type"] == "PodScheduled" and item["status"] == "False":
                    yield f"{item.get('reason', '')}: {item.get('message', '')}"
            for container in status.get("containerStatuses", ()):
                waiting = container.get("state", {}).get("waiting")
                if waiting and waiting.get("reason") != "ContainerCreating":
                    yield f"{waiting.get('reason', '')}: {waiting.get('message', '')}"

    def _apply(self, manifest: dict[str, Any]) -> dict[str, Any]:
        text = self._run(
            f"declaring the {manifest['kind']}", "apply", "--server-side", "--field-manager=mlctl", "--validate=strict",
            "-o", "json", "-f", "-", given=json.dumps(manifest),
        )  # fmt: skip
        made: dict[str, Any] = json.loads(text)
        return made

    def _run(self, doing: str, verb: str, *arguments: str, given: str | None = None) -> str:
        where = ["--namespace", self._asked.namespace]
        if self._asked.context is not None:
            where += ["--context", self._asked.context]
        return commands.run(
            [self._kubectl, verb, *where, *arguments],
            seconds=_SECONDS,
            code="executor.kubernetes",
            doing=doing,
            fix="see that kubectl reaches the cluster (`kubectl auth can-i create jobs`), then run `mlctl apply` again",
            given=given,
        )
