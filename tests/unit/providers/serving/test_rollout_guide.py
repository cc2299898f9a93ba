"""Every YAML block of the guide to rollouts is a part of a project that `mlctl validate` has nothing against."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from mlctl.workspace import Workspace

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "rollouts.md"
AROUND: dict[str, Any] = {
    "project": "guide",
    "datasets": {name: {"path": f"{name}.csv", "key": ["id"], "timestamp": "at"} for name in ("labels", "holdout")},
    "training": {
        "churn": {
            "data": {"labels": "labels", "target": "churned"}, "model": {"type": "mlp", "hidden": [8]}, "epochs": 2, "batch_size": 64,
            "optimizer": {"type": "adamw", "lr": 0.001},
        }
    },
    "evaluations": {
        alias: {
            "model": "${training.churn.model}", "dataset": "holdout",
            "require": {"roc_auc": {"min": 0.7, "not_worse_than": "champion", "margin": 0.002}},
            "register": {"name": "churn", "alias": alias},
        }
        for alias in ("champion", "challenger")
    },
}  # fmt: skip


def blocks() -> list[dict[str, Any]]:
    return [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)]


def noticed(root: Path, block: dict[str, Any]) -> list[str]:
    for name in AROUND["datasets"]:
        (root / f"{name}.csv").touch()
    (root / "mlctl.yaml").write_text(json.dumps({**AROUND, **block}))
    workspace = Workspace(root)
    assert workspace.project.resources
    return [item.summary for item in workspace.noticed]


def test_the_guide_shows_all_strategies() -> None:
    shown = {name for block in blocks() for name in block["deployments"]["churn_api"]["rollout"]}
    assert shown >= {"all_at_once", "canary", "blue_green", "shadow", "ab", "bandit"}


@pytest.mark.parametrize("number", range(len(blocks())))
def test_a_block_of_the_guide_is_valid(number: int, tmp_path: Path) -> None:
    assert noticed(tmp_path, blocks()[number]) == []


def test_a_block_with_a_slip_is_refused_at_its_place(tmp_path: Path) -> None:
    block = blocks()[0]
    block["deployments"]["churn_api"]["rollout"]["canary"]["steps"][0]["gate"] = "gaurd"
    with pytest.raises(Exception, match="there is no gate `gaurd`"):
        noticed(tmp_path, block)
