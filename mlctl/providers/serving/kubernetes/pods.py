"""What runs in the pods of one version: containers, probes, volumes. Pure, and the same bytes for the same version."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

from mlctl.processes.environment import QUIET
from mlctl.providers.serving.spec.target import KubernetesTarget
from mlctl.types.job import JOB_FILE
from mlctl.types.jobs.llm import EngineJob
from mlctl.types.jobs.server import ServerJob
from mlctl.types.secret import ENVIRONMENT, Secrets, sealed_names
from mlctl.types.value import Json

MODEL_FOLDER = "/mnt/models"
SERVER = "server"  # the container
_RELEASE = "/var/run/mlctl/release"
_SCRATCH, _SHARED_MEMORY = "/tmp", "/dev/shm"  # noqa: S108 (in a container)
FETCH_IMAGE = "kserve/storage-initializer:v0.20.0"
GPU = "nvidia.com/gpu"
# Gateways and kube-proxies learn late that a pod leaves: until they have, it still takes requests.
_LEAVING_SECONDS = 5
_CERTAINTY_SECONDS = 15  # beyond what the requests under way may take


class Pods:
    """The pods of one version: `model` is where the version's folder is found, `settings` what the server is told."""

    def __init__(
        self, target: KubernetesTarget, model: str, job: ServerJob | EngineJob, port: int, seconds: float
    ) -> None:
        self._target, self._model, self._job = target, model, job
        self._port, self._seconds = port, seconds

    def files(self) -> dict[str, str]:
        """What the pods read besides the model. Secrets are sealed in it."""
        if isinstance(self._job, ServerJob):
            content = {"program": "server", "params": self._job.model_dump(mode="json")}
            return {JOB_FILE: json.dumps(content, indent=1, sort_keys=True)}
        return {name.replace("/", "-"): text for name, text in sorted(self._job.files.items())}

    def spec(self, config: str, token: str | None = None) -> dict[str, Any]:
        """A PodSpec. `config` is the ConfigMap with the files, `token` the variable with whom to let in (engines)."""
        target = self._target
        spec: dict[str, Any] = {
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "terminationGracePeriodSeconds": _LEAVING_SECONDS + math.ceil(self._seconds) + _CERTAINTY_SECONDS,
            "securityContext": {
                "runAsNonRoot": True,
                "runAsUser": target.user,
                "runAsGroup": target.user,
                "fsGroup": target.user,
                "seccompProfile": {"type": "RuntimeDefault"},
            },
            "containers": [self._container(token)],
            "volumes": self._volumes(config),
        }
        if fetch := self._fetch():
            spec["initContainers"] = [fetch]
        if target.service_account is not None:
            spec["serviceAccountName"] = target.service_account
        if target.node_selector:
            spec["nodeSelector"] = dict(sorted(target.node_selector.items()))
        if target.tolerations:
            spec["tolerations"] = [item.model_dump(exclude_none=True) for item in target.tolerations]
        return spec

    def _container(self, token: str | None) -> dict[str, Any]:
        ours = isinstance(self._job, ServerJob)
        command = self._command()
        alive = "/healthz" if ours else self._health()
        ready = "/readyz" if ours else self._health()
        return {
            "name": SERVER,
            "image": self._target.image,
            "command": command[:1],
            "args": command[1:],
            "env": self._environment(token),
            "ports": [{"name": "http", "containerPort": self._port, "protocol": "TCP"}],
            "resources": resources(self._target),
            # until the first answer nothing else is asked: a model may take long to load
            "startupProbe": _probe(alive, 5, math.ceil(self._target.start_timeout / 5)),
            "readinessProbe": _probe(ready, 5, 2),
            "livenessProbe": _probe(alive, 10, 6),
            "lifecycle": {"preStop": {"sleep": {"seconds": _LEAVING_SECONDS}}},
            "securityContext": _confined(),
            "volumeMounts": self._mounts(),
        }

    def _command(self) -> list[str]:
        if isinstance(self._job, ServerJob):
            return ["python", "-m", "mlctl.runtime", "server", _RELEASE]
        return [self._placed(part) for part in self._job.command]

    def _health(self) -> str:
        return self._job.health if isinstance(self._job, EngineJob) else "/healthz"

    def _placed(self, text: str) -> str:
        """What stands for what only the place of a start can tell, in a pod."""
        places = {
            "model": MODEL_FOLDER, "tokenizer": MODEL_FOLDER, "host": "0.0.0.0", "port": str(self._port), "folder": _RELEASE,  # noqa: S104
            "cache": f"{_SCRATCH}/cache", "drain": str(math.ceil(self._seconds)), "cores": "auto",
            "threads": str(max(1, math.floor(cores(self._target.cpus)))),
        }  # fmt: skip
        for name, value in places.items():
            text = text.replace(f"{{{name}}}", value)
        return referenced(text)

    def _environment(self, token: str | None) -> list[dict[str, Any]]:
        """Secrets come first: Kubernetes puts their values into those of later variables only."""
        target, plain = self._target, {"HOME": _SCRATCH, "TZ": "UTC", "PYTHONUNBUFFERED": "1", **QUIET}
        found = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": item.secret, "key": item.key}}}
            for name, item in sorted(target.secrets.items())
        ]
        if isinstance(self._job, EngineJob):
            plain |= {name: self._placed(value) for name, value in self._job.environment.items()}
            if token is not None:
                plain["VLLM_API_KEY"] = f"$({variable_of(token)})"
        elif names := sorted(sealed_names(self._job.model_dump(mode="json"))):
            plain[ENVIRONMENT] = json.dumps({name: f"$({variable_of(name)})" for name in names})
        if isinstance(self._job, ServerJob):
            plain["OMP_NUM_THREADS"] = "1"  # one thread for each worker, as on a machine
        plain |= target.env
        return [*found, *({"name": name, "value": value} for name, value in sorted(plain.items()))]

    def _volumes(self, config: str) -> list[dict[str, Any]]:
        volumes: list[dict[str, Any]] = [{"name": "scratch", "emptyDir": {}}]
        if self._model.startswith("pvc://"):
            claim = self._model.removeprefix("pvc://").partition("/")[0]
            volumes.append({"name": "model", "persistentVolumeClaim": {"claimName": claim, "readOnly": True}})
        else:
            volumes.append({"name": "model", "emptyDir": {}})
        if self.files():
            volumes.append({"name": "release", "emptyDir": {}})
            volumes.append({"name": "config", "configMap": {"name": config}})
        if self._target.shared_memory is not None:
            memory = {"medium": "Memory", "sizeLimit": self._target.shared_memory}
            volumes.append({"name": "shared-memory", "emptyDir": memory})
        return volumes

    def _mounts(self) -> list[dict[str, Any]]:
        model: dict[str, Any] = {"name": "model", "mountPath": MODEL_FOLDER, "readOnly": True}
        if self._model.startswith("pvc://"):
            model["subPath"] = self._model.removeprefix("pvc://").partition("/")[2]
        mounts = [model, {"name": "scratch", "mountPath": _SCRATCH}]
        if self.files():  # the folder is the server's own, with the files it is told something by in it
            mounts.append({"name": "release", "mountPath": _RELEASE})
            for name in self.files():
                mounts.append({"name": "config", "mountPath": f"{_RELEASE}/{name}", "subPath": name, "readOnly": True})
        if self._target.shared_memory is not None:
            mounts.append({"name": "shared-memory", "mountPath": _SHARED_MEMORY})
        return mounts

    def _fetch(self) -> dict[str, Any] | None:
        """What copies the model out of a bucket before the server starts, with the variables of its credentials."""
        if self._model.startswith("pvc://"):
            return None
        store = self._target.models
        plain = {"HOME": _SCRATCH}
        if store.endpoint_url is not None:
            plain |= {"AWS_ENDPOINT_URL": store.endpoint_url, "S3_ENDPOINT": store.endpoint_url.partition("://")[2]}
            plain["S3_USE_HTTPS"] = "1" if store.endpoint_url.startswith("https://") else "0"
        if store.region is not None:
            plain["AWS_DEFAULT_REGION"] = store.region
        secret = [
            {"name": name, "valueFrom": {"secretKeyRef": {"name": item.secret, "key": item.key}}}
            for name, item in sorted(self._target.secrets.items())
            if name.startswith("AWS_")
        ]
        plain |= {name: value for name, value in self._target.env.items() if name.startswith(("AWS_", "S3_"))}
        return {
            "name": "fetch",
            "image": store.fetch_image or FETCH_IMAGE,
            "args": [self._model, MODEL_FOLDER],
            "env": [*secret, *({"name": name, "value": value} for name, value in sorted(plain.items()))],
            "resources": {"requests": {"cpu": "100m", "memory": "256Mi"}, "limits": {"cpu": "1", "memory": "1Gi"}},
            "securityContext": _confined(),
            "volumeMounts": [{"name": "model", "mountPath": MODEL_FOLDER}, {"name": "scratch", "mountPath": _SCRATCH}],
        }


def resources(target: KubernetesTarget) -> dict[str, Any]:
    """Asked for and allowed. Memory and GPUs are the same in both; a CPU that nobody else wants may be used."""
    asked = {"cpu": target.cpus, "memory": target.memory}
    most = {"memory": target.memory}
    if target.gpus:
        name = target.gpu_resource or GPU
        asked[name] = most[name] = str(target.gpus)
    return {"requests": asked, "limits": most}


def cores(amount: str) -> float:
    """How many processor cores a quantity is."""
    return float(amount[:-1]) / 1000 if amount.endswith("m") else float(amount.rstrip("kKMGTPi"))


def variable_of(name: str) -> str:
    """The variable of a pod that holds a secret of the project: `API_TOKEN` of `env.API_TOKEN` and of `var.API_TOKEN`."""
    return name.rpartition(".")[2]


def referenced(text: str) -> str:
    """A text in which each sealed secret is a reference to its variable, which Kubernetes puts the value in for."""
    return str(Secrets({name: f"$({variable_of(name)})" for name in sealed_names(text)}).opened(text))


def needed_variables(params: Mapping[str, Json]) -> list[str]:
    """The variables that pods need for the secrets that are sealed in what they are told."""
    return sorted({variable_of(name) for name in sealed_names(params)})


def _probe(path: str, seconds: int, failures: int) -> dict[str, Any]:
    return {
        "httpGet": {"path": path, "port": "http"},
        "periodSeconds": seconds,
        "timeoutSeconds": min(5, seconds),
        "failureThreshold": failures,
    }


def _confined() -> dict[str, Any]:
    return {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
