"""The objects that KServe 0.20 is given: it makes pods and routes of them. Pure."""

from __future__ import annotations

import shlex
from typing import Any

from mlctl.providers.serving.kubernetes.asked import Asked
from mlctl.providers.serving.kubernetes.naming import ROUTES, revision_name
from mlctl.providers.serving.kubernetes.pods import MODEL_FOLDER
from mlctl.providers.serving.kubernetes.routes import written
from mlctl.providers.serving.kubernetes.workloads import pod_spec
from mlctl.rollout.routes import TOTAL
from mlctl.rollout.state import Release, RolloutState
from mlctl.types.jobs.rollout import CANDIDATE, Revision

CONTAINER, LLM_CONTAINER = "kserve-container", "main"
_MODES = {"standard": "Standard", "knative": "Knative"}
_BY_KNATIVE = (
    "enableServiceLinks",
    "terminationGracePeriodSeconds",
)  # it says these itself, and refuses them of others
# KServe's template of a language model has these itself
_BY_TEMPLATE = (
    "ports",
    "startupProbe",
    "readinessProbe",
    "livenessProbe",
    "lifecycle",
    "volumeMounts",
    "securityContext",
)
_BY_TEMPLATE_ENVIRONMENT = ("HOME", "VLLM_CACHE_ROOT")
_LLM_ARGUMENTS = "VLLM_ADDITIONAL_ARGS"  # KServe's own template starts vLLM, with what stands in it


def inference_service(asked: Asked, state: RolloutState) -> dict[str, Any] | None:
    """One object for all versions: its template is the newest's, and Knative keeps the one before for the rest of the requests."""
    newest = shown(state)
    if newest is None:
        return None
    revision, owner = newest.revision, asked.owner
    name = revision_name(revision.digest)
    predictor = _pod(asked, revision)
    predictor["minReplicas"] = asked.scale.replicas or asked.scale.least
    predictor["maxReplicas"] = asked.scale.replicas or asked.scale.most
    if asked.scale.cpu is not None:
        predictor |= {"scaleMetric": "cpu", "scaleTarget": round(asked.scale.cpu)}
    if asked.mode == "knative":
        predictor["timeout"] = max(1, round(asked.drain_seconds))
        if state.candidate is not None and state.stable is not None:
            predictor["canaryTrafficPercent"] = canary_percent(state)
    annotations = {"serving.kserve.io/deploymentMode": _MODES[asked.mode]}
    if state.routes is not None:
        annotations[ROUTES] = written(state.routes)
    predictor["labels"] = owner.pods(name)
    return {
        "apiVersion": "serving.kserve.io/v1beta1",
        "kind": "InferenceService",
        "metadata": owner.metadata(owner.name, name, annotations),
        "spec": {"predictor": predictor},
    }


def shown(state: RolloutState) -> Release | None:
    """The version whose template the object has: the candidate while there is one."""
    return state.release(state.candidate) or state.release(state.stable)


def canary_percent(state: RolloutState) -> int:
    """The share of the candidate in percent: none until it is known to answer."""
    share = 0 if state.routes is None else state.routes.shares.get(CANDIDATE, 0)
    return share * 100 // TOTAL


def language_model(asked: Asked, revision: Revision, weight: int) -> dict[str, Any]:
    """One object for each version; those of a group share the requests by their weights."""
    owner, name = asked.owner, revision_name(revision.digest)
    pod = dict(revision.params["pod"])
    container = dict(pod["containers"][0])
    flags = _flags([*container.pop("command"), *container.pop("args")])
    container["name"] = LLM_CONTAINER
    for taken in _BY_TEMPLATE:
        container.pop(taken)
    container["env"] = [item for item in container["env"] if item["name"] not in _BY_TEMPLATE_ENVIRONMENT]
    if flags:
        container["env"] = [*container["env"], {"name": _LLM_ARGUMENTS, "value": shlex.join(flags)}]
    template: dict[str, Any] = {"containers": [container]}
    for kept in ("serviceAccountName", "nodeSelector", "tolerations", "terminationGracePeriodSeconds"):
        if kept in pod:
            template[kept] = pod[kept]
    return {
        "apiVersion": "serving.kserve.io/v1alpha2",
        "kind": "LLMInferenceService",
        "metadata": owner.metadata(owner.of(name), name),
        "spec": {
            "model": {"uri": revision.params["storage"], "name": revision.params["name"]},
            "replicas": asked.scale.replicas or asked.scale.least,
            "labels": owner.pods(name),
            "template": template,
            "router": {"route": {"group": owner.name, "weight": weight}, "gateway": {}, "scheduler": {}},
        },
    }


def _pod(asked: Asked, revision: Revision) -> dict[str, Any]:
    """The PodSpec as a predictor takes it. KServe itself fetches the model, for the variable that says from where."""
    pod = {name: value for name, value in pod_spec(asked, revision).items() if name != "initContainers"}
    pod["volumes"] = [volume for volume in pod["volumes"] if volume["name"] != "model"]
    container = dict(pod["containers"][0])
    container["name"] = CONTAINER
    container["volumeMounts"] = [item for item in container["volumeMounts"] if item["mountPath"] != MODEL_FOLDER]
    container["env"] = [*container["env"], {"name": "STORAGE_URI", "value": revision.params["storage"]}]
    if asked.mode == "knative":
        for name in _BY_KNATIVE:
            pod.pop(name)
        container.pop("lifecycle")
        container["ports"] = [{"containerPort": asked.port, "protocol": "TCP", "name": "http1"}]
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            container[probe] = {
                **container[probe],
                "httpGet": {"path": container[probe]["httpGet"]["path"], "port": asked.port},
            }
    pod["containers"] = [container]
    return pod


def _flags(command: list[str]) -> list[str]:
    """The options of vLLM that are the project's: where it listens, and under which name, the template says."""
    rest = command[command.index("serve") + 2 :]
    flags: list[str] = []
    while rest:
        name = rest.pop(0)
        value: list[str] = []
        while rest and not rest[0].startswith("--"):
            value.append(rest.pop(0))
        if name not in ("--served-model-name", "--host", "--port", "--disable-uvicorn-access-log"):
            flags += [name, *value]
    return flags
