"""What nothing in a cluster carries out is refused, with the place in the block; nothing is ignored."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from mlctl.provider import Context
from mlctl.providers.serving.kubernetes.rules import target_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.testing.harness import make_context
from mlctl.types.secret import Secrets
from tests.unit.providers.serving.kubernetes.blocks import CANARY, LARGE, ROUTE, TARGET, block

ROUTED = {**TARGET, "route": ROUTE}
STEP = {"weight": 10, "pause": "confirm"}
SECRET = "a-token-of-32-letters-and-digits"
GATE = {"guard": {"metrics": [{"name": "error_rate", "margin": 0.002}]}}
ARMS = {"arms": {"a": {"model": "churn@champion"}, "b": {"model": "churn@next"}}}
VLLM = {"type": "vllm"}


def context(tmp_path: Path) -> Context:
    ctx = make_context(tmp_path)
    object.__setattr__(ctx, "secrets", Secrets({"env.API_TOKEN": SECRET}, b"key"))
    return ctx


def places(given: dict[str, Any], tmp_path: Path) -> set[tuple[str | int, ...]]:
    return {item.path for item in target_problems(DeploymentSpec.model_validate(given), context(tmp_path))}


REFUSED: list[tuple[dict[str, Any], tuple[str | int, ...]]] = [
    (block(serve={"host": "127.0.0.1"}), ("serve", "host")),
    (block(serve={"port": 80}), ("serve", "port")),
    (block(log={"predictions": True}), ("log",)),
    (block(require={"feature_parity": {}}), ("require",)),
    (block(serve={"cache": {"ttl": "1m"}}), ("serve", "cache")),
    (block({**TARGET, "shared_memory": "1Gi"}), ("target", "shared_memory")),
    (block(serve={"engine": {"type": "xllamacpp", "gguf": "m.gguf"}}), ("serve", "engine")),
    (block(serve={"engine": {**VLLM, "lora": {}}}), ("serve", "engine", "lora")),
    (block(serve={"engine": {**VLLM, "start_timeout": "5m"}}), ("serve", "engine", "start_timeout")),
    (block(serve={"engine": {"type": "sglang", "python": "python3"}}), ("target",)),
    (block(serve={"engine": {**VLLM, "tensor_parallel": 2}}), ("target",)),
    (block({**TARGET, "gpus": 1}, serve={"engine": {**VLLM, "threads": 2}}), ("serve", "engine", "threads")),
    (block(serve={"engine": {**VLLM, "gpu_memory": 0.5}}), ("serve", "engine", "gpu_memory")),
    (block(serve={"engine": VLLM, "concurrency": {"max_running": 4}}), ("serve", "concurrency")),
    (block(serve={"engine": {"type": "tgi"}, "auth": {"token": SECRET}}), ("serve", "auth")),
    (block(serve={"auth": {"token": SECRET}}), ("target",)),
    (block({**TARGET, "env": {"TOKEN": SECRET}}), ("target", "env", "TOKEN")),
    (block(TARGET, rollout=CANARY), ("target",)),
    (block(ROUTED, gates=GATE, rollout={"canary": {"steps": [{**STEP, "gate": "guard"}]}}), ("gates",)),
    (block(ROUTED, rollout={"canary": {"steps": [STEP, {"weight": 50, "pause": "10m"}]}}), ("rollout", "canary", "steps", 1)),
    (block(ROUTED, rollout={"canary": {"steps": [{"weight": 10}]}}), ("rollout", "canary", "steps", 0)),
    (block(ROUTED, rollout={"blue_green": {"preview": "5m"}}), ("rollout", "blue_green")),
    (block(ROUTED, rollout={"shadow": {"for": "1h", "side_effects": "none"}}), ("rollout", "shadow")),
    (block(ROUTED, rollout={"bandit": {**ARMS, "rewards_port": 9000}}), ("rollout", "bandit")),
    (block(ROUTED, rollout={**CANARY, "keep_old": "1h"}), ("rollout", "keep_old")),
    (block(ROUTED, rollout={**CANARY, "gateway": "python"}), ("rollout", "gateway")),
    (block(ROUTED, rollout={"ab": ARMS, "unit": "x-user"}), ("rollout", "unit")),
    (block({**TARGET, "route": {**ROUTE, "bucketed": True}}, rollout=CANARY), ("target", "route", "bucketed")),
    (block({**TARGET, "kserve": "standard"}, rollout=CANARY), ("rollout",)),
    (block({**TARGET, "kserve": "knative"}, rollout={"ab": ARMS}), ("rollout",)),
    (block({**TARGET, "kserve": "knative"}, rollout={"canary": {"steps": [{"weight": 12.5, "pause": "confirm"}]}}), ("rollout", "canary", "steps", 0, "weight")),
    (block({**ROUTED, "kserve": "knative"}), ("target", "route")),
    (block({**TARGET, "kserve": "standard", "monitor": {}}), ("target", "monitor")),
    (block({**TARGET, "kserve": "llm"}), ("target", "kserve")),
    (block({**TARGET, "kserve": "llm", "autoscale": {"max": 3, "cpu": 50}}, serve={"engine": VLLM}), ("target", "autoscale")),
    (block({**TARGET, "kserve": "knative", "autoscale": {"max": 3, "cpu": 50}}), ("target", "autoscale")),
    (block({**TARGET, "kserve": "standard", "autoscale": {"max": 3, "qps": 5, "prometheus": "http://p"}}), ("target", "autoscale")),
    (block({**TARGET, "kserve": "standard", "models": {"url": "s3://models", "endpoint_url": "http://x"}}), ("target", "models", "endpoint_url")),
]  # fmt: skip


@pytest.mark.parametrize(("given", "place"), REFUSED, ids=[".".join(map(str, place)) for _, place in REFUSED])
def test_what_would_have_no_effect_is_refused_at_its_place(
    given: dict[str, Any], place: tuple[str | int, ...], tmp_path: Path
) -> None:
    assert place in places(given, tmp_path)


@pytest.mark.parametrize(
    "given",
    [
        block(),
        block(LARGE, rollout=CANARY),
        block(ROUTED, rollout={"blue_green": {"preview": "confirm"}}),
        block(ROUTED, rollout={"shadow": {"side_effects": "none"}}),
        block({**TARGET, "route": {**ROUTE, "bucketed": True}}, rollout={"ab": ARMS, "unit": "x-user"}),
        block({**TARGET, "kserve": "knative"}, rollout=CANARY),
        block({**TARGET, "kserve": "llm", "gpus": 1}, serve={"engine": VLLM}, rollout=CANARY),
        block({**TARGET, "secrets": {"API_TOKEN": "s/k"}}, serve={"auth": {"token": SECRET}}),
        block({**TARGET, "secrets": {"API_TOKEN": "s/k"}}, serve={"auth": {"token": SECRET}, "engine": VLLM}),
        block(log={"predictions": False}),
    ],
)
def test_what_a_cluster_carries_out_is_accepted(given: dict[str, Any], tmp_path: Path) -> None:
    assert places(given, tmp_path) == set()


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"replicas": 2, "autoscale": {"max": 3, "cpu": 50}}, "`replicas` has no effect with `autoscale`"),
        ({"gpu_resource": "amd.com/gpu"}, "`gpu_resource` has no effect without `gpus`"),
        ({"autoscale": {"max": 3}}, "nothing tells how many pods are needed"),
        ({"autoscale": {"max": 3, "qps": 5}}, "give its address in `prometheus`"),
        ({"autoscale": {"max": 3, "cpu": 5, "prometheus": "http://p"}}, "`prometheus` has no effect"),
        ({"autoscale": {"min": 4, "max": 3, "cpu": 5}}, "less than `min`"),
        ({"models": "/mnt/models"}, "is not a place for models"),
        ({"models": {"url": "pvc://c/x", "region": "eu"}}, "`region` has no effect with a volume"),
        ({"secrets": {"A": "nowhere"}}, "is not a key of a Secret"),
        ({"env": {"A": "1"}, "secrets": {"A": "s/k"}}, "stands in `env` and in `secrets`"),
        ({"env": {"MLCTL_X": "1"}}, "is given a value by mlctl"),
        ({"memory": "lots"}, "is not an amount in Kubernetes"),
        ({"memory": 8}, "Input should be a valid string"),  # bytes, which nobody means
        ({"namespace": "Nope"}, "is not a name in Kubernetes"),
        ({"route": {"gateway": "a/b/c"}}, "names no Gateway"),
        ({"kserve": "serverless"}, "Input should be"),
        ({"sharding": 2}, "Extra inputs are not permitted"),
    ],
)
def test_a_target_that_contradicts_itself_is_refused(changed: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError) as raised:
        DeploymentSpec.model_validate(block({**TARGET, **changed}))
    assert said in str(raised.value)


def test_this_machine_is_the_target_when_none_is_given(tmp_path: Path) -> None:
    spec = DeploymentSpec.model_validate({"model": "churn@champion", "serve": {"port": 80, "host": "127.0.0.1"}})
    assert spec.target.type == "machine"
    assert list(target_problems(spec, context(tmp_path))) == []
