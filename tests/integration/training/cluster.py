"""A Kubernetes API server in a thread that knows jobs, services and pods, and runs the pods of a Job as processes of this machine.

It speaks to the real `kubectl`: discovery, server-side apply, get, list by label, delete. It does what the Job controller does
with Indexed Jobs, as far as a training sees it: one pod an index, started anew up to `backoffLimit`, `podFailurePolicy` heeded.
"""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

KINDS = {
    "v1": {"services": "Service", "pods": "Pod"},
    "batch/v1": {"jobs": "Job"},
    "trainer.kubeflow.org/v1alpha1": {"trainjobs": "TrainJob"},
}
_PATH = re.compile(
    r"/(?:api|apis)/(?P<version>v1|[\w.]+/\w+)/namespaces/(?P<space>[\w-]+)/(?P<kind>\w+)(?:/(?P<name>[\w.-]+))?"
)
_VERBS = ["create", "delete", "get", "list", "patch"]


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


class Cluster:
    """The server, its objects, and the pods that run."""

    def __init__(self, folder: Path, environment: Mapping[str, str], secrets: Mapping[str, Mapping[str, str]]) -> None:
        self.folder, self.environment, self.secrets = folder, dict(environment), secrets
        self.objects: dict[tuple[str, str], dict[str, Any]] = {}
        self.pods: dict[str, dict[int, Pod]] = {}
        self.requests: list[str] = []
        self.failures: dict[str, int] = {}
        self.lock = threading.RLock()
        handler = type("Handler", (_Handler,), {"cluster": self})
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.port: int = self._server.server_address[1]
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def write_config(self, path: Path) -> None:
        """A kubeconfig for kubectl."""
        config = {
            "apiVersion": "v1", "kind": "Config", "current-context": "here",
            "clusters": [{"name": "here", "cluster": {"server": f"http://127.0.0.1:{self.port}"}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "here", "context": {"cluster": "here", "user": "me"}}],
        }  # fmt: skip
        path.write_text(yaml.safe_dump(config))

    def close(self) -> None:
        for pods in self.pods.values():
            for pod in pods.values():
                _end(pod, signal.SIGKILL)
        self._server.shutdown()
        self._server.server_close()

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


class _Handler(BaseHTTPRequestHandler):
    cluster: Cluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = urlsplit(self.path).path
        self.cluster.reconcile()
        if path in _DISCOVERY:
            return self._answer(_DISCOVERY[path])
        match = _PATH.fullmatch(path)
        if match is None:
            return self._answer(_status(404, f"no {path}"), 404)
        if match["name"] is None:
            return self._answer({"kind": "List", "apiVersion": "v1", "metadata": {}, "items": self._pods()})
        found = self.cluster.objects.get((match["kind"], match["name"]))
        return self._answer(found or _status(404, "not found"), 200 if found else 404)

    def do_PATCH(self) -> None:
        match = _PATH.fullmatch(urlsplit(self.path).path)
        assert match is not None
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        self.cluster.requests.append(self.path)
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(self.cluster.apply(match["kind"], yaml.safe_load(body)), 201)

    def do_DELETE(self) -> None:
        match = _PATH.fullmatch(urlsplit(self.path).path)
        assert match is not None
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        there = self.cluster.delete(match["kind"], match["name"])
        self._answer(_status(200, "deleted", "Success") if there else _status(404, "not found"), 200 if there else 404)

    def _pods(self) -> list[dict[str, Any]]:
        asked = parse_qs(urlsplit(self.path).query).get("labelSelector", [""])[0]
        return [
            {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": f"{name}-{index}"}, "status": {"phase": "Running"}}
            for name, pods in self.cluster.pods.items()
            for index in pods
            if asked.partition("=")[2] in name
        ]

    def _answer(self, value: Any, code: int = 200) -> None:
        data = json.dumps(value).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


def _end(pod: Pod, number: signal.Signals) -> None:
    if pod.process.poll() is None:
        os.killpg(pod.process.pid, number)
        pod.process.wait(60)


def _condition(name: str, reason: str, message: str) -> dict[str, str]:
    return {"type": name, "status": "True", "reason": reason, "message": message}


def _status(code: int, message: str, status: str = "Failure") -> dict[str, Any]:
    reason = {"reason": "NotFound"} if code == 404 else {}
    return {"kind": "Status", "apiVersion": "v1", "status": status, "code": code, "message": message, **reason}


def _resources(version: str) -> dict[str, Any]:
    resources = [
        {"name": plural, "singularName": kind.lower(), "namespaced": True, "kind": kind, "verbs": _VERBS}
        for plural, kind in KINDS[version].items()
    ]
    return {"kind": "APIResourceList", "apiVersion": "v1", "groupVersion": version, "resources": resources}


def _group(version: str) -> dict[str, Any]:
    item = {"groupVersion": version, "version": version.partition("/")[2]}
    return {"name": version.partition("/")[0], "versions": [item], "preferredVersion": item}


def _openapi(version: str) -> dict[str, Any]:
    """Enough for kubectl to see that the server checks fields by itself."""
    base = "/api/v1" if version == "v1" else f"/apis/{version}"
    group, _, number = version.rpartition("/")
    checked = {"name": "fieldValidation", "in": "query", "schema": {"type": "string"}}
    paths = {
        f"{base}/namespaces/{{namespace}}/{plural}/{{name}}": {
            "patch": {
                "parameters": [checked],
                "x-kubernetes-group-version-kind": {"group": group, "version": number, "kind": kind},
            }
        }
        for plural, kind in KINDS[version].items()
    }
    return {"openapi": "3.0.0", "info": {"title": "x", "version": "1"}, "paths": paths}


_DISCOVERY: dict[str, Any] = {
    "/api": {"kind": "APIVersions", "versions": ["v1"]},
    "/apis": {"kind": "APIGroupList", "apiVersion": "v1", "groups": [_group(name) for name in KINDS if "/" in name]},
    **{("/api/v1" if name == "v1" else f"/apis/{name}"): _resources(name) for name in KINDS},
    "/openapi/v3": {
        "paths": {
            path.removeprefix("/"): {"serverRelativeURL": f"/openapi/v3{path}"}
            for path in ("/api/v1" if name == "v1" else f"/apis/{name}" for name in KINDS)
        }
    },
    **{f"/openapi/v3{'/api/v1' if name == 'v1' else f'/apis/{name}'}": _openapi(name) for name in KINDS},
    "/version": {"major": "1", "minor": "32", "gitVersion": "v1.32.0"},
}
