"""One namespace of a cluster, through `kubectl`: whose context and credentials are those of whoever applies."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

from mlctl.providers.serving.kubernetes.naming import MANAGER, Owner
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets

# The kinds that are rendered, as kubectl is asked for them.
RESOURCES = {
    "ConfigMap": "configmaps",
    "Deployment": "deployments.apps",
    "Service": "services",
    "HorizontalPodAutoscaler": "horizontalpodautoscalers.autoscaling",
    "ScaledObject": "scaledobjects.keda.sh",
    "PodDisruptionBudget": "poddisruptionbudgets.policy",
    "NetworkPolicy": "networkpolicies.networking.k8s.io",
    "HTTPRoute": "httproutes.gateway.networking.k8s.io",
    "ServiceMonitor": "servicemonitors.monitoring.coreos.com",
    "InferenceService": "inferenceservices.serving.kserve.io",
    "LLMInferenceService": "llminferenceservices.serving.kserve.io",
}
OWN = frozenset(
    {"ConfigMap", "Deployment", "Service", "HorizontalPodAutoscaler", "PodDisruptionBudget", "NetworkPolicy"}
)  # of Kubernetes itself: every cluster has them
_SECONDS = 60.0
_TAIL_LINES = 15

Name = tuple[str, str]  # of an object in its namespace: kind, name
Objects = dict[Name, dict[str, Any]]


class Cluster:
    """What is asked of it in one namespace. All methods raise MlctlError `kubernetes.refused`."""

    def __init__(
        self, context: str | None, namespace: str, address: str, secrets: Secrets, kubectl: str = "kubectl"
    ) -> None:
        self._where = ["--namespace", namespace, *(["--context", context] if context is not None else [])]
        self._address, self._secrets, self._kubectl = address, secrets, kubectl

    def ours(self, owner: Owner, kinds: Collection[str]) -> Objects:
        """What carries the marks of a deployment. What a controller made of one of our objects is that controller's."""
        if not kinds:
            return {}
        asked = ",".join(RESOURCES[kind] for kind in sorted(kinds))
        found = self._read("listing objects", "get", asked, "-l", owner.selector)
        return {item: value for item, value in found.items() if not value["metadata"].get("ownerReferences")}

    def named(self, names: Iterable[Name]) -> Objects:
        """Objects by their names, whoever made them; those that are there."""
        asked = [f"{RESOURCES[kind]}/{name}" for kind, name in names]
        return self._read("looking for objects", "get", *asked, "--ignore-not-found") if asked else {}

    def apply(self, manifests: Sequence[Mapping[str, Any]]) -> Objects:
        """Declare objects that are ours, or not there yet, and give them as they are then.

        The server refuses fields that it does not know. What others have changed of them goes back: that they are ours was
        looked at before.
        """
        if not manifests:
            return {}
        given = "\n".join(json.dumps(manifest) for manifest in manifests)
        return self._read(
            "declaring objects", "apply", "--server-side", f"--field-manager={MANAGER}", "--force-conflicts",
            "--validate=strict", "-f", "-", given=given,
        )  # fmt: skip

    def delete(self, names: Iterable[Name]) -> None:
        """Remove objects with what they own. Gone already is success."""
        asked = [f"{RESOURCES[kind]}/{name}" for kind, name in names]
        if asked:
            self._run(
                "deleting objects", "delete", *asked, "--ignore-not-found", "--cascade=background", "--wait=false"
            )

    def waits(self, owner: Owner, revision: str) -> tuple[list[str], int]:
        """Why pods of a version do not answer yet, and how often one of them was started anew, at most."""
        selector = ",".join(f"{name}={value}" for name, value in sorted(owner.pods(revision).items()))
        text = self._run("listing pods", "get", "pods", "-l", selector, "-o", "json")
        reasons, restarts = set(), 0
        for pod in json.loads(text).get("items", ()):
            status = pod.get("status", {})
            for item in status.get("conditions", ()):
                if item["type"] == "PodScheduled" and item["status"] == "False":
                    reasons.add(_sentence(item))
            for container in [*status.get("initContainerStatuses", ()), *status.get("containerStatuses", ())]:
                restarts = max(restarts, container.get("restartCount", 0))
                waiting = container.get("state", {}).get("waiting") or {}
                ended = container.get("lastState", {}).get("terminated") or {}
                if waiting.get("reason") not in (None, "ContainerCreating", "PodInitializing"):
                    reasons.add(_sentence(waiting))
                if ended:
                    reasons.add(f"exit code {ended.get('exitCode')}: {_sentence(ended)}")
        return sorted(reasons), restarts

    def _read(self, doing: str, *arguments: str, given: str | None = None) -> Objects:
        text = self._run(doing, *arguments, "-o", "json", given=given)
        if not text.strip():
            return {}
        found = json.loads(text)
        items = found["items"] if found["kind"] == "List" else [found]
        return {(item["kind"], item["metadata"]["name"]): item for item in items}

    def _run(self, doing: str, *arguments: str, given: str | None = None) -> str:
        fix = "see that kubectl reaches the cluster and may do it (`kubectl auth can-i create deployments`), then try again"
        try:
            done = subprocess.run(
                [self._kubectl, *arguments, *self._where],
                input=given,
                capture_output=True,
                text=True,
                timeout=_SECONDS,
                check=False,
            )
        except FileNotFoundError as error:
            raise self._refused("`kubectl` is not there", str(error.strerror), "install kubectl") from None
        except subprocess.TimeoutExpired:
            raise self._refused(f"`kubectl` did not manage {doing}", f"no answer within {_SECONDS:g} s", fix) from None
        if done.returncode:
            said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-_TAIL_LINES:])
            why = self._secrets.hidden(said) or f"exit code {done.returncode}"
            raise self._refused(f"`kubectl` did not manage {doing}", why, fix)
        return done.stdout

    def _refused(self, summary: str, why: str, fix: str) -> MlctlError:
        return MlctlError.of("kubernetes.refused", summary, why, fix, address=self._address)


def _sentence(said: Mapping[str, Any]) -> str:
    return ": ".join(filter(None, [said.get("reason"), said.get("message")]))
