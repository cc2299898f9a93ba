"""What a cluster is given: as it is kept beside this file, strictly valid, and the same bytes for the same block."""

from __future__ import annotations

import copy
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.provider import Context
from mlctl.providers.serving.kubernetes import kept, ranges, validate
from mlctl.stats.assignment import bucket
from mlctl.testing.harness import make_context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.secret import Secrets
from tests.unit.providers.serving.kubernetes.blocks import CANARY, LARGE, ROUTE, TARGET, block, desired, language_model

GOLDEN = Path(__file__).with_name("golden")
VLLM = {"engine": {"type": "vllm", "max_model_len": 4096, "dtype": "bfloat16"}}
GPU = {**TARGET, "gpus": 1, "shared_memory": "8Gi"}
ROWS = {
    "small": block(),
    "large": block(LARGE, rollout=CANARY),
    "volume": block({**TARGET, "models": "pvc://models/prod", "autoscale": {"min": 2, "max": 4, "cpu": 70}}),
    "kserve-standard": block({**TARGET, "kserve": "standard", "autoscale": {"max": 4, "cpu": 70}}),
    "kserve-knative": block({**TARGET, "kserve": "knative", "network": {"allow_from": ["knative-serving"]}}),
}
TEXTS = {"vllm": block(GPU, serve=VLLM), "kserve-llm": block({**TARGET, "gpus": 1, "kserve": "llm"}, serve=VLLM)}


def made(name: str, ctx: Context) -> list[dict[str, Any]]:
    given = copy.deepcopy(ROWS.get(name) or TEXTS[name])
    asked, served = desired(ctx, given) if name in ROWS else language_model(ctx, given)
    return kept.manifests(asked, served, ctx)


@pytest.mark.parametrize("name", [*ROWS, *TEXTS])
def test_every_object_is_as_it_is_kept_here_and_valid(name: str, tmp_path: Path) -> None:
    manifests = made(name, make_context(tmp_path))
    path = GOLDEN / f"{name}.yaml"
    text = yaml.safe_dump_all(manifests, sort_keys=False, width=120)
    if os.environ.get("MLCTL_GOLDEN") == "write":
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text()
    assert json.dumps(manifests) == json.dumps(made(name, make_context(tmp_path)))


def test_the_order_in_which_a_block_is_written_changes_nothing(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    shuffled = {name: LARGE[name] for name in reversed(LARGE)}
    shuffled["env"] = dict(reversed(LARGE["env"].items()))
    asked, served = desired(ctx, block(shuffled, rollout=CANARY))
    assert json.dumps(kept.manifests(asked, served, ctx)) == json.dumps(made("large", ctx))


def test_how_many_pods_there_are_makes_no_new_version(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)

    def names(target: dict[str, Any], version: int = 3) -> set[str]:
        asked, served = desired(ctx, block(target), version)
        return {item["metadata"]["name"] for item in kept.manifests(asked, served, ctx) if item["kind"] == "Deployment"}

    assert names({**TARGET, "replicas": 5}) == names(TARGET)
    assert names(TARGET, version=4).isdisjoint(names(TARGET))
    assert names({**TARGET, "image": "other"}).isdisjoint(names(TARGET))


@pytest.mark.parametrize(
    ("where", "value"),
    [
        (("spec", "template", "spec", "containers", 0, "imagePullPolicies"), "Always"),
        (("spec", "replicas"), "two"),
        (("spec", "strategi"), {}),
    ],
)
def test_a_field_that_kubernetes_does_not_know_is_refused(where: tuple[Any, ...], value: Any, tmp_path: Path) -> None:
    [pods] = [item for item in made("small", make_context(tmp_path)) if item["kind"] == "Deployment"]
    inner: Any = pods
    for part in where[:-1]:
        inner = inner[part]
    inner[where[-1]] = value
    with pytest.raises(MlctlError) as raised:
        validate.refuse_invalid([pods], "deployments.x")
    assert raised.value.diagnostics[0].code == "kubernetes.invalid"


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("large", "HTTPRoute"),
        ("large", "ScaledObject"),
        ("large", "ServiceMonitor"),
        ("kserve-knative", "InferenceService"),
        ("kserve-llm", "LLMInferenceService"),
    ],
)
def test_a_field_that_a_custom_kind_does_not_have_is_refused_at_every_place(
    name: str, kind: str, tmp_path: Path
) -> None:
    """An unknown field is put into every mapping whose keys are not free, one after the other."""
    [item] = [item for item in made(name, make_context(tmp_path)) if item["kind"] == kind]
    tried = 0
    for path in _mappings(item):
        changed = copy.deepcopy(item)
        inner: Any = changed
        for part in path:
            inner = inner[part]
        inner["surplus"] = "x"
        with pytest.raises(MlctlError):
            validate.refuse_invalid([changed], "deployments.x")
        tried += 1
    assert tried > 5


FREE = {
    "labels",
    "annotations",
    "matchLabels",
    "limits",
    "requests",
    "nodeSelector",
    "emptyDir",
    "gateway",
    "scheduler",
}


def _mappings(value: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    if isinstance(value, dict):
        here = [path] if not (path and path[-1] in FREE) else []
        return here + [
            found for name, inner in value.items() if name not in FREE for found in _mappings(inner, (*path, name))
        ]
    if isinstance(value, list):
        return [found for place, inner in enumerate(value) for found in _mappings(inner, (*path, place))]
    return []


def test_no_secret_is_sent_to_a_cluster(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    secret = "a-token-of-32-letters-and-digits"
    object.__setattr__(ctx, "secrets", Secrets({"env.API_TOKEN": secret}, b"key"))
    target = {**TARGET, "secrets": {"API_TOKEN": "churn/token"}, "monitor": {}}
    asked, served = desired(ctx, block(target, serve={"auth": {"token": secret}}))
    manifests = kept.manifests(asked, served, ctx)
    text = json.dumps(manifests)
    assert secret not in text
    [pods] = [item for item in manifests if item["kind"] == "Deployment"]
    environment = pods["spec"]["template"]["spec"]["containers"][0]["env"]
    assert environment[0] == {
        "name": "API_TOKEN",
        "valueFrom": {"secretKeyRef": {"name": "churn", "key": "token"}},
    }
    # Kubernetes puts the value in; the server opens with it what is sealed in its job
    assert {"name": "MLCTL_SECRETS", "value": '{"env.API_TOKEN": "$(API_TOKEN)"}'} in environment
    [monitor] = [item for item in manifests if item["kind"] == "ServiceMonitor"]
    assert monitor["spec"]["endpoints"][0]["authorization"]["credentials"] == {"name": "churn", "key": "token"}


def test_the_secrets_of_an_engine_are_references_to_those_of_the_cluster(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    token, key = "a-token-of-32-letters-and-digits", "another-of-32-letters-and-digits"
    object.__setattr__(ctx, "secrets", Secrets({"env.API_TOKEN": token, "var.HF_TOKEN": key}, b"key"))
    target = {**GPU, "secrets": {"API_TOKEN": "chat/token", "HF_TOKEN": "hub/key"}}
    serve = {"auth": {"token": token}, "engine": {"type": "vllm", "environment": {"HUB": f"Bearer {key}"}}}
    asked, served = language_model(ctx, block(target, serve=serve))
    manifests = kept.manifests(asked, served, ctx)
    assert token not in json.dumps(manifests)
    assert key not in json.dumps(manifests)
    environment = manifests[0]["spec"]["template"]["spec"]["containers"][0]["env"]
    assert [item["name"] for item in environment[:2]] == ["API_TOKEN", "HF_TOKEN"]
    assert {"name": "VLLM_API_KEY", "value": "$(API_TOKEN)"} in environment
    assert {"name": "HUB", "value": "Bearer $(HF_TOKEN)"} in environment
    assert "${secret" not in json.dumps(environment)


def test_units_are_kept_at_their_arm_by_the_place_of_the_assignment(tmp_path: Path) -> None:
    """The route sends every unit where `mlctl.stats.assignment` puts it."""
    ctx = make_context(tmp_path)
    split = {
        "ab": {"arms": {"control": {"model": "churn@champion", "weight": 2}, "treatment": {"model": "churn@champion"}}},
        "unit": "x-user-id",
    }
    asked, served = desired(ctx, block({**TARGET, "route": {**ROUTE, "bucketed": True}}, rollout=split))
    [route] = [item for item in kept.manifests(asked, served, ctx) if item["kind"] == "HTTPRoute"]
    rules = {rule["name"]: rule for rule in route["spec"]["rules"]}
    patterns = {
        name: re.compile(rules[f"units-{name}"]["matches"][0]["headers"][0]["value"])
        for name in ("control", "treatment")
    }
    for unit in range(5000):
        place = bucket(f"u{unit}", "salt")
        arm = "control" if place < 2 / 3 else "treatment"
        assert [name for name, found in patterns.items() if found.match(str(round(place * 10_000)))] == [arm]
    assert [item["weight"] for item in rules["split"]["backendRefs"]] == [6667, 3333]


def test_a_range_is_matched_to_the_number() -> None:
    for first, last in ((0, 0), (0, 9999), (7, 123), (999, 1000), (1, 9998), (0, 6666), (6667, 9999)):
        found = re.compile(ranges.pattern(first, last))
        assert [number for number in range(10_100) if found.match(str(number))] == list(range(first, last + 1))
