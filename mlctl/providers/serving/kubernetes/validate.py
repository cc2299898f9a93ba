"""Whether objects are what the API servers of a cluster take, before any of them is asked: strictly, and without a network.

Kubernetes' own kinds are held against its published schemas (package `kubernetes-validate`). Those of Gateway API, KServe,
KEDA and the Prometheus operator are held against schemas of ours, which know the fields that we render and no others.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

from mlctl.types.diagnostic import Diagnostic, MlctlError

VERSION = "1.32.0"  # of Kubernetes: the oldest that takes all we render
OTHERS = ("HTTPRoute", "ScaledObject", "ServiceMonitor", "InferenceService", "LLMInferenceService")
_POD_FIELDS = ("predictor", "template")  # where a PodSpec stands in KServe's kinds
_KSERVE_OWN = frozenset(
    {
        "minReplicas",
        "maxReplicas",
        "scaleMetric",
        "scaleTarget",
        "timeout",
        "canaryTrafficPercent",
        "labels",
        "annotations",
    }
)


def refuse_invalid(manifests: Sequence[Mapping[str, Any]], address: str) -> None:
    """Raise MlctlError with each object that a cluster would refuse. What was looked at once is not looked at again."""
    problems = [
        Diagnostic(
            "kubernetes.invalid",
            f"the {item['kind']} `{item['metadata']['name']}` would be refused",
            problem,
            "correct the field of `target` that it comes from",
            address=address,
        )
        for item in manifests
        for problem in _problems(json.dumps(item, sort_keys=True))
    ]
    if problems:
        raise MlctlError(problems)


@cache
def _problems(text: str) -> tuple[str, ...]:
    manifest = json.loads(text)
    try:
        if manifest["kind"] in OTHERS:
            return tuple(_by_ours(manifest))
        return tuple(_by_kubernetes(manifest))
    except ModuleNotFoundError as error:
        raise MlctlError.of(
            "extra.missing",
            f"to validate objects for Kubernetes needs the package `{error.name}`, which is not installed",
            "mlctl's core is light; each stage's tools come with an extra",
            "pip install 'mlctl[kubernetes]'",
        ) from None


def _by_ours(manifest: Mapping[str, Any]) -> Iterator[str]:
    import jsonschema  # type: ignore[import-untyped]

    for error in jsonschema.Draft202012Validator(_schema(manifest["kind"])).iter_errors(manifest):
        yield f"{_place(error.absolute_path)}: {error.message[:300]}"
    for field in _POD_FIELDS:
        pod = manifest["spec"].get(field)
        if isinstance(pod, Mapping):
            spec = {name: value for name, value in pod.items() if name not in _KSERVE_OWN}
            yield from _by_kubernetes({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "x"}, "spec": spec})


def _by_kubernetes(manifest: Mapping[str, Any]) -> Iterator[str]:
    for error in _validator(manifest["kind"], manifest["apiVersion"]).iter_errors(manifest):
        yield f"{_place(error.absolute_path)}: {error.message[:300]}"


@cache
def _validator(kind: str, version: str) -> Any:
    """Of one of Kubernetes' own kinds. Its definitions are megabytes, and read once."""
    import jsonschema
    from referencing import Registry, Resource

    group, _, number = version.rpartition("/")
    own = _published("-".join(filter(None, [kind.lower(), group.partition(".")[0], number])) + ".json")
    registry: Any = Resource.from_contents(own) @ Registry()
    registry = Resource.from_contents(_published("_definitions.json")) @ registry
    return jsonschema.Draft202012Validator(own, registry=registry)


@cache
def _published(name: str) -> Any:
    from kubernetes_validate import utils  # type: ignore[import-untyped]

    return utils.schema_contents(f"kubernetes-json-schema/v{VERSION}-local-strict/{name}", VERSION)


@cache
def _schema(kind: str) -> dict[str, Any]:
    place = resources.files("mlctl.providers.serving.kubernetes") / "schemas" / f"{kind.lower()}.json"
    schema: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return schema


def _place(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path) or "the object"
