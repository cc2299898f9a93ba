"""What deployments contradict in each other and in what they serve."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.serving.deployment import Deployment
from mlctl.registry import Registry
from mlctl.spec.project import load_project
from mlctl.testing.harness import make_context
from mlctl.types.address import Address
from mlctl.types.diagnostic import Diagnostic

FEATURES = {"n": {"aggregate": "count", "window": "1d"}}
BLOCKS: Mapping[str, Mapping[str, Any]] = {
    "feature_views.seen": {"entity": "user", "source": "events", "features": FEATURES, "online": True},
    "feature_views.hidden": {"entity": "user", "source": "events", "features": FEATURES},
    "training.good": {"data": {"labels": "l", "features": ["seen"], "target": "y"}, "model": {"type": "mlp", "hidden": []}, "epochs": 1, "optimizer": {"lr": 1}},
    "training.bad": {"data": {"labels": "l", "features": ["seen", "hidden"], "target": "y"}, "model": {"type": "mlp", "hidden": []}, "epochs": 1, "optimizer": {"lr": 1}},
    "on_demand_views.made": {"function": "f.py:f", "views": ["hidden"], "features": {"x": "float64"}},
    "feature_services.all": {"views": ["seen"], "on_demand": ["made"]},
    "training.served": {"data": {"labels": "l", "service": "all", "target": "y"}, "model": {"type": "mlp", "hidden": []}, "epochs": 1, "optimizer": {"lr": 1}},
    "evaluations.served": {"model": "${training.served.model}", "dataset": "h", "require": {"roc_auc": {"min": 0}}, "register": {"name": "served", "alias": "best"}},
    "evaluations.good": {"model": "${training.good.model}", "dataset": "h", "require": {"roc_auc": {"min": 0}}, "register": {"name": "good", "alias": "best"}},
    "evaluations.bad": {"model": "${training.bad.model}", "dataset": "h", "require": {"roc_auc": {"min": 0}}, "register": {"name": "bad", "alias": "best"}},
}  # fmt: skip
USES = {
    "training.good": ["feature_views.seen"],
    "training.bad": ["feature_views.seen", "feature_views.hidden"],
    "on_demand_views.made": ["feature_views.hidden"],
    "feature_services.all": ["feature_views.seen", "on_demand_views.made"],
    "training.served": ["feature_services.all"],
    "evaluations.served": ["training.served"],
    "evaluations.good": ["training.good"],
    "evaluations.bad": ["training.bad"],
}


def problems(deployments: Mapping[str, Mapping[str, Any]], tmp_path: Path) -> list[tuple[str, Diagnostic]]:
    registry, blocks = Registry(), {**BLOCKS, **deployments}
    specs = {
        Address.parse(name): registry.kind(name.partition(".")[0]).spec.model_validate(block)
        for name, block in blocks.items()
    }
    uses: dict[Address, Collection[Address]] = {address: [] for address in specs}
    uses |= {Address.parse(name): [Address.parse(item) for item in found] for name, found in USES.items()}
    for name, block in deployments.items():
        uses[Address.parse(name)] = [Address.parse("evaluations." + block["model"].partition("@")[0])]
    found = Deployment().check_together(specs, uses, make_context(tmp_path))
    return [(str(address), item) for address, item in found]


def test_deployments_of_different_ports_and_online_features_are_fine(tmp_path: Path) -> None:
    blocks = {
        "deployments.a": {"model": "good@best", "serve": {"port": 8080}},
        "deployments.b": {"model": "good@best", "serve": {"port": 8081}},
        "deployments.c": {"model": "good@best", "serve": {"port": 8080, "host": "::1"}},
    }
    assert problems(blocks, tmp_path) == []


@pytest.mark.parametrize("hosts", [("127.0.0.1", "127.0.0.1"), ("::1", "0:0:0:0:0:0:0:1")])
def test_two_deployments_on_one_port_are_refused(hosts: tuple[str, str], tmp_path: Path) -> None:
    blocks = {
        f"deployments.{name}": {"model": "good@best", "serve": {"port": 8080, "host": host}}
        for name, host in zip("ab", hosts, strict=True)
    }
    ((address, found),) = problems(blocks, tmp_path)
    assert (address, found.code, found.path) == ("deployments.b", "deploy.same-port", ("serve", "port"))
    assert "deployments.a" in found.summary


def test_a_model_on_a_view_that_is_not_online_is_refused(tmp_path: Path) -> None:
    ((address, found),) = problems({"deployments.a": {"model": "bad@best", "serve": {"port": 1}}}, tmp_path)
    assert (address, found.code, found.path) == ("deployments.a", "deploy.view-offline", ("model",))
    assert "feature_views.hidden" in found.summary
    assert "online: true" in found.fix


def test_validate_tells_two_deployments_on_one_port_with_their_place(tmp_path: Path) -> None:
    block = "{model: m@best, serve: {pattern: online, engine: torch, port: 8080}}"
    (tmp_path / "data.csv").write_text("a,y\n1,0\n")
    (tmp_path / "mlctl.yaml").write_text(
        "project: p\ndatasets: {d: {path: data.csv}}\n"
        "training: {t: {data: {labels: d, target: y, columns: [a]}, model: {type: mlp, hidden: [4]}, optimizer: {lr: 0.01}, epochs: 1}}\n"
        "evaluations: {e: {model: '${training.t.model}', dataset: d, require: {roc_auc: {min: 0.5}}, register: {name: m, alias: best}}}\n"
        f"deployments:\n  one: {block}\n  two: {block}\n"
    )
    project = load_project(tmp_path, Registry())
    (found,) = [item for item in project.check(make_context(tmp_path)) if item.code == "deploy.same-port"]
    assert found.where is not None
    assert (found.address, found.where.line) == ("deployments.two", 7)


def test_a_view_that_only_a_function_of_the_service_reads_is_online_too(tmp_path: Path) -> None:
    found = problems({"deployments.a": {"model": "served@best", "serve": {"port": 8080}}}, tmp_path)
    assert [(item.code, "feature_views.hidden" in item.summary) for _, item in found] == [("deploy.view-offline", True)]
