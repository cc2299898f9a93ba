"""A Kubernetes API server in a thread that knows jobs, services and pods, and runs the pods of a Job as processes of this machine.

It speaks to the real `kubectl`: discovery, server-side apply, get, list by label, delete. It does what the Job controller does
with Indexed Jobs, as far as a training sees it: one pod an index, started anew up to `backoffLimit`, `podFailurePolicy` heeded.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.integration.kubernetes_api import Handler, Loopback, discovery, listed, status

KINDS = {
    "v1": {"services": "Service", "pods": "Pod"},
    "batch/v1": {"jobs": "Job"},
    "trainer.kubeflow.org/v1alpha1": {"trainjobs": "TrainJob"},
}


class Pod:
    """A process in place of a container."""

    def __init__(self, cluster: Cluster, job: dict[str, Any], index: int) -> None:
        spec = job["spec"]["template"]["spec"]["containers"][0]
        name = job["metadata"]["name"]
        folder = cluster.folder / f"{name}-{index}"
        folder.mkdir(parents=True, exist_ok=True)
        environment = {
            **cluster.environment,
            "JOB_COMPLETION_INDEX": str(index),
            "MLCTL_SCRATCH": str(folder / "scratch"),
        }
        for item in spec["env"]:
            held = item.get("value")
            if held is None:
                reference = item["valueFrom"]["secretKeyRef"]
                held = cluster.secrets[reference["name"]][reference["key"]]
            environment[item["name"]] = held
        environment["HOME"] = str(folder)
        first = f"{name}-0.{name}"
        words = [
            word.replace("$(JOB_COMPLETION_INDEX)", str(index))
            .replace(first, "127.0.0.1")
            .replace("29500", str(cluster.port + 1))
            for word in [*spec["command"], *spec["args"]]
        ]
        self.log = folder / "pod.log"
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, *words[1:]], cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                start_new_session=True,
            )  # fmt: skip


class Cluster(Loopback):
    """The server, its objects, and the pods that run."""

    def __init__(self, folder: Path, environment: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]]) -> None:
        self.folder, self.environment, self.secrets = folder, dict(environment), secrets
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[str, dict[int, Pod]] = {}
        self.requests: list[str] = []
        self.failures: dict[str, int] = {}
        self.lock = threading.RLock()
        super().__init__(type("ClusterHandler", (_Handler,), {"cluster": self}))

    def close(self) -> None:
        for pods in self.pods.values():
            for pod in pods.values():
                _end(pod, signal.SIGKILL)
        super().close()

    def apply(self, kind: str, manifest: dict[str, Any]) -> dict[str, Any]:
        """Server-side apply: made if it is not there; the first pods of a job begin."""
        name = manifest["metadata"]["name"]
        with self.lock:
            if (kind, name) not in self.objects:
                manifest["metadata"]["uid"] = f"uid-{name}"
                self.objects[kind, name] = {**manifest, "status": {}}
                if kind == "jobs":
                    self.failures[name] = 0
                    self.pods[name] = {
                        index: Pod(self, manifest, index) for index in range(manifest["spec"]["completions"])
                    }
            return self.objects[kind, name]

    def delete(self, kind: str, name: str) -> bool:
        """Away with it, its pods, and what it owns."""
        with self.lock:
            found = self.objects.pop((kind, name), None)
            for pod in self.pods.pop(name, {}).values():
                _end(pod, signal.SIGTERM)
            for key, item in list(self.objects.items()):
                if any(owner["name"] == name for owner in item["metadata"].get("ownerReferences", ())):
                    del self.objects[key]
        return found is not None

    def reconcile(self) -> None:
        """What the Job controller does: count, restart, and say that a job is over."""
        with self.lock:
            for (kind, name), job in self.objects.items():
                if kind == "jobs" and not job["status"].get("conditions"):
                    self._reconcile_job(name, job)

    def _reconcile_job(self, name: str, job: dict[str, Any]) -> None:
        pods, spec = self.pods[name], job["spec"]
        final = {
            code for rule in spec["podFailurePolicy"]["rules"] for code in rule.get("onExitCodes", {}).get("values", ())
        }
        codes = {index: pod.process.poll() for index, pod in pods.items()}
        job["status"]["ready"] = sum(code is None for code in codes.values())
        for index, code in codes.items():
            if code in final:
                job["status"]["conditions"] = [_condition("Failed", "PodFailurePolicy", f"exit code {code}")]
            elif code:
                self.failures[name] += 1
                if self.failures[name] > spec["backoffLimit"]:
                    job["status"]["conditions"] = [_condition("Failed", "BackoffLimitExceeded", "")]
                else:
                    pods[index] = Pod(self, job, index)
        if all(code == 0 for code in codes.values()):
            job["status"]["conditions"] = [_condition("Complete", "CompletionsReached", "")]


class _Handler(Handler):
    cluster: Cluster
    discovery = discovery(KINDS)

    def do_GET(self) -> None:
        self.cluster.reconcile()
        if self.discovered():
            return None
        match = self.place()
        if match is None:
            return self.answer(status(404, f"no {self.path}"), 404)
        if match["name"] is None:
            return self.answer(listed(self._pods()))
        found = self.cluster.objects.get((match["kind"], match["name"]))
        return self.answer(found or status(404, "not found"), 200 if found else 404)

    def do_PATCH(self) -> None:
        match = self.place()
        assert match is not None
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        self.cluster.requests.append(self.path)
        self.answer(self.cluster.apply(match["kind"], yaml.safe_load(self.body())), 201)

    def do_DELETE(self) -> None:
        match = self.place()
        assert match is not None
        self.body()
        there = self.cluster.delete(match["kind"], match["name"])
        self.answer(status(200, "deleted", "Success") if there else status(404, "not found"), 200 if there else 404)

    def _pods(self) -> list[dict[str, Any]]:
        asked = parse_qs(urlsplit(self.path).query).get("labelSelector", [""])[0]
        return [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-{index}"}, "status": {"phase": "Running"}}
            for name, pods in self.cluster.pods.items()
            for index in pods
            if asked.partition("=")[2] in name
        ]


def _end(pod: Pod, number: signal.Signals) -> None:
    if pod.process.poll() is None:
        os.killpg(pod.process.pid, number)
        pod.process.wait(60)


def _condition(name: str, reason: str, message: str) -> dict[str, str]:
    return {"type": name, "status": "True", "reason": reason, "message": message}
