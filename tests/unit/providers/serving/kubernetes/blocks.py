"""Deployments on a cluster, as small as they can be, and with everything."""

from __future__ import annotations

from typing import Any

from mlctl.provider import Context, Desired, Input
from mlctl.providers.serving.behind_gateway import Served
from mlctl.providers.serving.deployment import Deployment, _served
from mlctl.providers.serving.kubernetes import transportable
from mlctl.testing.harness import make_desired
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record

IMAGE = "registry.example/mlctl:1"
TARGET: dict[str, Any] = {
    "type": "kubernetes", "namespace": "ml", "image": IMAGE, "models": "s3://models/prod", "cpus": 1, "memory": "2Gi",
}  # fmt: skip
ROUTE = {"gateway": "infra/public", "hostnames": ["churn.example.com"]}
CANARY = {"canary": {"steps": [{"weight": 10, "pause": "confirm"}, {"weight": 50, "pause": "confirm"}]}}
LARGE: dict[str, Any] = {
    **TARGET, "gpus": 1, "service_account": "server", "user": 2000, "env": {"B": "2", "A": "1"},
    "secrets": {"AWS_ACCESS_KEY_ID": "bucket/id", "AWS_SECRET_ACCESS_KEY": "bucket/key"}, "node_selector": {"pool": "gpu"},
    "tolerations": [{"key": "gpu", "operator": "Equal", "value": "h100", "effect": "NoSchedule"}], "start_timeout": "15m",
    "autoscale": {"min": 2, "max": 8, "qps": 50, "queue": 4, "gpu": 80, "prometheus": "http://prometheus.monitoring:9090"},
    "route": {**ROUTE, "path": "/churn"}, "network": {"allow_from": ["infra", "monitoring"]},
    "monitor": {"labels": {"release": "prometheus"}, "interval": "15s"},
    "models": {"url": "s3://models/prod", "endpoint_url": "https://s3.example.com", "region": "eu-west-1"},
}  # fmt: skip


def block(target: dict[str, Any] | None = None, serve: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    return {
        "model": "churn@champion",
        "serve": {"port": 8080, **(serve or {})},
        "target": TARGET if target is None else target,
        **more,
    }


def evaluation(name: str = "gate", version: int = 3, **outputs: Any) -> dict[str, Record]:
    serving = {"columns": ["a", "b"], "keys": [], "views": [], "store": None}
    made = {
        "name": "churn", "alias": "champion", "version": version, "model": f"models/{version}", "serving": serving,
        "digest": f"d{version}", **outputs,
    }  # fmt: skip
    return {f"evaluations.{name}": Record(ObjectKey.parse(f"evaluations.{name}#1"), "1", outputs=made)}


def desired(
    ctx: Context, given: dict[str, Any], version: int = 3, name: str = "churn_api", **outputs: Any
) -> tuple[Desired, dict[str, Served]]:
    """What an apply is given, with the models that it serves."""
    (ctx.root / f"models/{version}").mkdir(parents=True, exist_ok=True)
    made = make_desired(Deployment(), f"deployments.{name}", given, ctx, evaluation(version=version, **outputs))
    return made, _served(made, ctx)


def language_model(ctx: Context, given: dict[str, Any], version: int = 3) -> tuple[Desired, dict[str, Served]]:
    """The same for a language model and its engine."""
    (ctx.root / f"models/{version}").mkdir(parents=True, exist_ok=True)
    inputs = evaluation(version=version, serving=None, task="causal_lm")
    made = make_desired(Deployment(), "deployments.chat", given, ctx, inputs)
    found = made.inputs[Address("evaluations", "gate")]
    assert isinstance(found, Input)
    job = transportable.language_model("chat", made, found.outputs, "", ctx)
    assert job is not None
    return made, {"churn@champion": Served(found, job, {})}
