"""A Kubernetes API server in a thread that takes what a deployment is made of, and says what controllers would say of it.

It speaks to the real `kubectl`: discovery, server-side apply with owners of fields, get, list by label, delete. Pods are
ready as soon as they are looked at, unless `broken` says why those of an image are not.
"""

from __future__ import annotations

import copy
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

from tests.integration.kubernetes_api import Handler, Loopback, discovery, listed, status

KINDS = {
    "v1": {"services": "Service", "configmaps": "ConfigMap", "pods": "Pod"},
    "apps/v1": {"deployments": "Deployment"},
    "autoscaling/v2": {"horizontalpodautoscalers": "HorizontalPodAutoscaler"},
    "policy/v1": {"poddisruptionbudgets": "PodDisruptionBudget"},
    "networking.k8s.io/v1": {"networkpolicies": "NetworkPolicy"},
    "gateway.networking.k8s.io/v1": {"httproutes": "HTTPRoute"},
    "keda.sh/v1alpha1": {"scaledobjects": "ScaledObject"},
    "monitoring.coreos.com/v1": {"servicemonitors": "ServiceMonitor"},
    "serving.kserve.io/v1beta1": {"inferenceservices": "InferenceService"},
    "serving.kserve.io/v1alpha2": {"llminferenceservices": "LLMInferenceService"},
}
Key = tuple[str, str, str]  # namespace, plural, name


class Api(Loopback):
    """The server, and what is in the cluster."""

    def __init__(self) -> None:
        self.objects: dict[Key, dict[str, Any]] = {}
        self.broken: dict[str, str] = {}  # image: why its pods do not start
        self.writes: list[tuple[str, str]] = []  # method and path of each request that changed something
        self.routes_accepted = True
        self._applied: dict[Key, dict[str, Any]] = {}
        self._clock = 0
        self._lock = threading.RLock()
        super().__init__(type("ApiHandler", (_Handler,), {"api": self}))

    def empty(self) -> None:
        """As it was at first."""
        with self._lock:
            self.objects.clear()
            self._applied.clear()
            self.broken.clear()
            self.writes.clear()
            self.routes_accepted = True

    def put(self, manifest: dict[str, Any]) -> None:
        """Make or change an object as another than mlctl would."""
        plural = next(name for kinds in KINDS.values() for name, kind in kinds.items() if kind == manifest["kind"])
        key = (manifest["metadata"]["namespace"], plural, manifest["metadata"]["name"])
        with self._lock:
            self._store(key, copy.deepcopy(manifest))

    def of(self, kind: str, space: str = "ml") -> dict[str, dict[str, Any]]:
        """Objects of a kind by name."""
        return {key[2]: item for key, item in self.objects.items() if item["kind"] == kind and key[0] == space}

    def apply(self, key: Key, given: dict[str, Any]) -> tuple[dict[str, Any], int]:
        """Server-side apply: what was declared before and is not any more is removed, all else of others stays."""
        with self._lock:
            there = self.objects.get(key)
            wanted = given["metadata"].pop("resourceVersion", None)
            if wanted is not None and (there is None or there["metadata"]["resourceVersion"] != wanted):
                return status(409, "the object has been modified; please apply your changes to the latest version"), 409
            merged = _merged(there or {}, self._applied.get(key, {}), given)
            self._applied[key] = copy.deepcopy(given)
            if there is None or _plain(merged) != _plain(there):
                self._store(key, merged)
            return self.objects[key], 200 if there else 201

    def delete(self, key: Key) -> bool:
        """Away with it."""
        with self._lock:
            self._applied.pop(key, None)
            return self.objects.pop(key, None) is not None

    def select(self, space: str, plural: str, selector: str) -> list[dict[str, Any]]:
        """Objects by labels."""
        pairs = [part.split("=") for part in selector.split(",") if part]
        found = [item for (where, kind, _), item in sorted(self.objects.items()) if (where, kind) == (space, plural)]
        found += list(self._pods(space)) if plural == "pods" else []
        return [item for item in found if all(item["metadata"].get("labels", {}).get(k) == v for k, v in pairs)]

    def reconcile(self) -> None:
        """What controllers would say by now."""
        with self._lock:
            for item in self.objects.values():
                generation = item["metadata"]["generation"]
                if item["kind"] == "Deployment":
                    item["status"] = self._pods_of(item, generation)
                elif item["kind"] == "HTTPRoute":
                    state = "True" if self.routes_accepted else "False"
                    said = [
                        {"type": name, "status": state, "reason": "NoMatchingParent" if state == "False" else "Accepted",
                         "message": "", "observedGeneration": generation}
                        for name in ("Accepted", "ResolvedRefs")
                    ]  # fmt: skip
                    item["status"] = {"parents": [{"conditions": said}]}
                elif item["kind"] in ("InferenceService", "LLMInferenceService"):
                    spec = item["spec"].get("predictor") or item["spec"]["template"]
                    state = "False" if spec["containers"][0]["image"] in self.broken else "True"
                    item["status"] = {
                        "observedGeneration": generation,
                        "conditions": [{"type": "Ready", "status": state}],
                    }

    def _pods_of(self, item: dict[str, Any], generation: int) -> dict[str, Any]:
        count = item["spec"].get("replicas", 1)
        if item["spec"]["template"]["spec"]["containers"][0]["image"] in self.broken:
            late = {
                "type": "Progressing",
                "status": "False",
                "reason": "ProgressDeadlineExceeded",
                "message": "timed out",
            }
            return {"observedGeneration": generation, "replicas": count, "updatedReplicas": count, "conditions": [late]}
        return {
            "observedGeneration": generation, "replicas": count, "updatedReplicas": count, "availableReplicas": count,
            "readyReplicas": count, "conditions": [],
        }  # fmt: skip

    def _pods(self, space: str) -> Iterator[dict[str, Any]]:
        for item in self.of("Deployment", space).values():
            template = item["spec"]["template"]
            reason = self.broken.get(template["spec"]["containers"][0]["image"])
            if reason:
                waiting = {"state": {"waiting": {"reason": reason, "message": "no such image"}}, "restartCount": 0}
                yield {
                    "apiVersion": "v1", "kind": "Pod",
                    "metadata": {"name": f"{item['metadata']['name']}-x", "labels": template["metadata"]["labels"]},
                    "status": {"containerStatuses": [waiting]},
                }  # fmt: skip

    def _store(self, key: Key, item: dict[str, Any]) -> None:
        self._clock += 1
        there = self.objects.get(key)
        metadata = item.setdefault("metadata", {})
        metadata["uid"] = metadata.get("uid") or f"uid-{self._clock}"
        metadata["resourceVersion"] = str(self._clock)
        generation = there["metadata"]["generation"] if there else 0
        same = there is not None and there.get("spec") == item.get("spec")
        metadata["generation"] = generation if same else generation + 1
        self.objects[key] = item


def _merged(there: dict[str, Any], before: dict[str, Any], given: dict[str, Any]) -> dict[str, Any]:
    result = {name: value for name, value in there.items() if name in given or name not in before}
    for name, value in given.items():
        if isinstance(value, dict):
            result[name] = _merged(there.get(name) or {}, before.get(name) or {}, value)
        else:
            result[name] = value
    return copy.deepcopy(result)


def _plain(item: dict[str, Any]) -> dict[str, Any]:
    hidden = ("resourceVersion", "generation", "uid")
    metadata = {name: value for name, value in item.get("metadata", {}).items() if name not in hidden}
    return {**{name: value for name, value in item.items() if name != "status"}, "metadata": metadata}


class _Handler(Handler):
    api: Api
    discovery = discovery(KINDS)

    def do_GET(self) -> None:
        if self.discovered():
            return None
        match, parts = self.place(), urlsplit(self.path)
        if match is None:
            return self.answer(status(404, f"no {parts.path}"), 404)
        self.api.reconcile()
        if match["name"] is None:
            selector = parse_qs(parts.query).get("labelSelector", [""])[0]
            return self.answer(listed(self.api.select(match["space"], match["kind"], selector)))
        found = self.api.objects.get((match["space"], match["kind"], match["name"]))
        return self.answer(found or status(404, "not found"), 200 if found else 404)

    def do_PATCH(self) -> None:
        match, parts = self.place(), urlsplit(self.path)
        asked = parse_qs(parts.query)
        assert match is not None
        assert self.headers["Content-Type"] == "application/apply-patch+yaml"
        assert asked["fieldManager"] == ["mlctl"]
        assert asked["fieldValidation"] == ["Strict"]
        self.api.writes.append(("PATCH", parts.path))
        self.answer(*self.api.apply((match["space"], match["kind"], match["name"]), yaml.safe_load(self.body())))

    def do_DELETE(self) -> None:
        match = self.place()
        assert match is not None
        self.api.writes.append(("DELETE", urlsplit(self.path).path))
        self.body()
        there = self.api.delete((match["space"], match["kind"], match["name"]))
        self.answer(status(200, "deleted", "Success") if there else status(404, "not found"), 200 if there else 404)
