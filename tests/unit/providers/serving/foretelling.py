"""Deployments that the tests of estimates share, and what a plan foretells of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from mlctl.estimate.prices import PriceRow, Prices
from mlctl.provider import Context, Desired
from mlctl.providers.serving.deployment import Deployment
from mlctl.providers.serving.workload import DeploymentWorkload
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.state import Record

LLAMA_8B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "num_attention_heads": 32, "num_key_value_heads": 8,
    "intermediate_size": 14_336, "vocab_size": 128_256, "max_position_embeddings": 131_072, "torch_dtype": "bfloat16",
}  # fmt: skip
SMALL = {**LLAMA_8B, "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
         "intermediate_size": 128, "vocab_size": 1000, "max_position_embeddings": 2048}  # fmt: skip
POD = {"type": "kubernetes", "image": "i", "models": "pvc://c/m", "cpus": "4", "memory": "32Gi"}
L4 = {"nvidia.com/gpu.product": "NVIDIA-L4"}
GATE = Address("evaluations", "gate")
DAY = date(2026, 11, 1)


def stored(ctx: Context, config: Mapping[str, Any] = LLAMA_8B, **outputs: Any) -> dict[str, Record]:
    """An evaluation that has registered a model which is there."""
    folder = ctx.root / "models" / "3"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config))
    made = {
        "name": "shops",
        "alias": "champion",
        "version": 3,
        "model": "models/3",
        "task": "causal_lm",
        "digest": "d",
        **outputs,
    }
    return {str(GATE): Record(ObjectKey(GATE, "1"), "1", outputs=made)}


def block(engine: Any = "vllm", target: Mapping[str, Any] | None = None, **serve: Any) -> dict[str, Any]:
    found = {"model": "shops@champion", "serve": {"port": 8080, "engine": engine, **serve}}
    return {**found, **({"target": {**POD, **target}} if target is not None else {})}


def asked(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record] | None = None) -> Desired:
    return make_desired(Deployment(), "deployments.api", values, ctx, inputs)


def foretold(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record] | None = None) -> Estimate:
    found = Deployment().estimate(asked(ctx, values, inputs), (), ctx)
    assert found is not None
    return found


def refused(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record]) -> str:
    with pytest.raises(MlctlError) as raised:
        foretold(ctx, values, inputs)
    found = raised.value.diagnostics[0]
    assert found.code == "deploy.does-not-start"
    assert found.address == "deployments.api"
    return f"{found.summary}\n{found.why}\n{found.fix}"


def moved(ctx: Context, values: Mapping[str, Any], inputs: Mapping[str, Record]) -> DeploymentWorkload:
    found = Deployment().workload(asked(ctx, values, inputs), (), ctx)
    assert isinstance(found, DeploymentWorkload)
    return found


def priced(ctx: Context, gpu: str, tier: Any, usd: float) -> Context:
    return replace(ctx, prices=Prices(given=[PriceRow(gpu, "p", tier, usd, DAY, "s")]))
