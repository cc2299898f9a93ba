"""Every field of `target` changes what a cluster is asked for, or where it is asked."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

from mlctl.launch.pods import Tolerate
from mlctl.providers.serving.kubernetes import kept, kubectl, places
from mlctl.providers.serving.kubernetes.places import Place
from mlctl.providers.serving.spec.target import (
    Autoscale,
    KServeSpec,
    KubernetesTarget,
    ModelStore,
    MonitorSpec,
    NetworkSpec,
    RouteSpec,
)
from mlctl.testing.harness import make_context
from tests.unit.providers.serving.kubernetes.blocks import LARGE, TARGET, block, desired, language_model

VLLM = {"engine": {"type": "vllm"}}
CPU = {**TARGET, "autoscale": {"max": 3, "cpu": 50}}
# field: what it is changed to, in which block; the large one where nothing else is said
CHANGES: dict[str, tuple[Any, dict[str, Any]]] = {
    "namespace": ("other", LARGE), "image": ("other", LARGE), "replicas": (3, TARGET), "cpus": (2, LARGE), "memory": ("4Gi", LARGE),
    "gpus": (2, LARGE), "gpu_resource": ("amd.com/gpu", LARGE), "shared_memory": ("1Gi", {**TARGET, "gpus": 1}),
    "service_account": ("other", LARGE), "user": (3000, LARGE), "env": ({"C": "3"}, LARGE), "secrets": ({"C": "s/k"}, LARGE),
    "tolerations": ([], LARGE), "node_selector": ({}, LARGE), "start_timeout": ("5m", LARGE), "route": (None, LARGE),
    "network": (None, LARGE), "monitor": (None, LARGE), "autoscale": (None, LARGE), "models": ("pvc://c/x", LARGE),
    "kserve": ("standard", TARGET),
    "kserve.mode": ("knative", {**TARGET, "kserve": {"mode": "standard"}}),
    "models.url": ("s3://models/other", LARGE), "models.endpoint_url": (None, LARGE), "models.region": (None, LARGE),
    "models.fetch_image": ("other", LARGE),
    "autoscale.min": (3, LARGE), "autoscale.max": (9, LARGE), "autoscale.cpu": (60, CPU), "autoscale.qps": (60, LARGE),
    "autoscale.queue": (9, LARGE), "autoscale.gpu": (9, LARGE), "autoscale.prometheus": ("http://other", LARGE),
    "route.gateway": ("other", LARGE), "route.hostnames": ([], LARGE), "route.path": ("/", LARGE), "route.bucketed": (True, LARGE),
    "network.allow_from": (["infra"], LARGE),
    "monitor.labels": ({}, LARGE), "monitor.interval": ("1m", LARGE),
    "tolerations.key": ("x", LARGE), "tolerations.value": ("x", LARGE), "tolerations.effect": ("NoExecute", LARGE),
    "tolerations.operator": ("Exists", LARGE),
}  # fmt: skip
ELSEWHERE = {"type", "context"}  # chooses the block, and whom kubectl asks
# it is Kubernetes' own word for a field whose value changes nothing else: with `Exists` there is no value
WITH_ANOTHER = {"tolerations.operator": {"value": None}}
PARTS: dict[str, type[BaseModel]] = {
    "": KubernetesTarget, "models": ModelStore, "kserve": KServeSpec, "autoscale": Autoscale, "route": RouteSpec,
    "network": NetworkSpec, "monitor": MonitorSpec, "tolerations": Tolerate,
}  # fmt: skip


def test_the_table_has_every_field() -> None:
    fields = {f"{part}.{name}".lstrip(".") for part, model in PARTS.items() for name in model.model_fields}
    assert fields - ELSEWHERE == set(CHANGES)


def rendered(target: dict[str, Any], tmp_path: Path) -> str:
    """As text, without how much of a rollout is under way: units need a split to be kept by."""
    ctx = make_context(tmp_path)
    if target.get("shared_memory") or target is CHANGES["shared_memory"][1]:
        asked, served = language_model(ctx, block(target, serve=VLLM))
    else:
        unit: dict[str, Any] = {}
        if target.get("route"):
            arms = {"a": {"model": "churn@champion"}, "b": {"model": "churn@champion"}}
            bucketed = target["route"].get("bucketed")
            unit = {"rollout": {"ab": {"arms": arms}, **({"unit": "x-user"} if bucketed else {})}}
        asked, served = desired(ctx, block(target, **unit))
    return json.dumps(kept.manifests(asked, served, ctx))


@pytest.mark.parametrize("field", CHANGES)
def test_a_field_has_an_effect(field: str, tmp_path: Path) -> None:
    value, base = CHANGES[field]
    changed = copy.deepcopy(base)
    part, _, name = field.rpartition(".")
    inner: Any = changed[part] if part else changed
    if part == "tolerations":
        inner = inner[0]
    inner[name] = value
    inner.update(WITH_ANOTHER.get(field, {}))
    if field == "gpu_resource":
        assert base["gpus"]
    assert rendered(changed, tmp_path) != rendered(base, tmp_path)


def test_the_context_is_whom_kubectl_asks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def run(command: list[str], **_: Any) -> Any:
        asked.append(command)
        return type("Done", (), {"returncode": 0, "stdout": "", "stderr": ""})

    monkeypatch.setattr(kubectl.subprocess, "run", run)
    ctx = make_context(tmp_path)
    made, _ = desired(ctx, block())
    places.rollout_at(Place("west", "ml"), made.key, ctx).load()
    assert asked[0][-4:] == ["--namespace", "ml", "--context", "west"]
