"""Every YAML block of the guides about training is a project, or a part of one, that `mlctl validate` has nothing against."""

from __future__ import annotations

import json
import re
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
import yaml

from mlctl.workspace import Workspace

GUIDES = Path(__file__).parents[4] / "docs" / "guides"
BLOCKS = {
    "training": 2, "language-models": 3, "estimates": 1, "executors": 4, "remote-training": 3, "search": 1, "models": 0,
}  # fmt: skip
CODE = "def build(features, width=64):\n    return None\n"
DATASETS = {
    "labels": {"path": "data/labels.csv", "key": ["id"], "timestamp": "at"},
    "chats": {"path": "data/chats.jsonl", "key": ["id"]},
}
# What a block that shows a part of a project leaves out.
AROUND: dict[str, Any] = {
    "project": "guide",
    "entities": {"customer": {"key": "id", "dtype": "int64"}},
    "feature_views": {
        "activity": {
            "entity": "customer",
            "source": "labels",
            "features": {"visits_7d": {"aggregate": "count", "window": "7d"}},
        }
    },
}
REST = {"epochs": 2, "batch_size": 64, "optimizer": {"type": "adamw", "lr": 0.001}}
TABLE = {"data": {"labels": "labels", "target": "churned"}, "model": {"type": "mlp", "hidden": [8]}, **REST}
TEXT = {"data": {"dataset": "chats", "text": "text"}, "model": {"type": "causal_lm", "base": "models/base"}, **REST}


class Loader(yaml.SafeLoader):
    """YAML 1.2's numbers: `3e-3` is one."""


Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[0-9]+(\.[0-9]+)?e-?[0-9]+"), list("0123456789"))


def blocks(guide: str) -> list[Any]:
    """The YAML blocks of a guide."""
    found = re.findall(r"```yaml\n(.*?)```", (GUIDES / f"{guide}.md").read_text(), re.DOTALL)
    return [yaml.load(dedent(text), Loader) for text in found]


def project_of(block: dict[str, Any]) -> dict[str, Any]:
    """A block with what it leaves out; one that shows fields alone is of a training `churn`."""
    given = block if "training" in block else {"training": {"churn": block}}
    training = {}
    for name, fields in given["training"].items():
        executor = fields.get("executor", {})
        ranks = executor.get("nodes", 1) * executor.get("gpus", 1)
        spread = {"strategy": {"type": "ddp", "processes": ranks}} if ranks > 1 else {}
        training[name] = {**(TEXT if name == "helper" else TABLE), **spread, **fields}
    return {**AROUND, **given, "datasets": {**DATASETS, **given.get("datasets", {})}, "training": training}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for name in ("data/labels.csv", "data/chats.jsonl", "data/held_out.jsonl", "src/model.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(CODE if name.endswith(".py") else "")
    for name in ("base", "small", "large"):
        folder = tmp_path / "models" / name
        folder.mkdir(parents=True)
        for file in ("config.json", "tokenizer.json", "model.safetensors"):
            (folder / file).write_text("{}")
    return tmp_path


def test_no_block_is_left_out() -> None:
    assert {guide: len(blocks(guide)) for guide in BLOCKS} == BLOCKS


@pytest.mark.parametrize(("guide", "number"), [(guide, at) for guide, count in BLOCKS.items() for at in range(count)])
def test_a_block_of_a_guide_is_valid(guide: str, number: int, root: Path) -> None:
    (root / "mlctl.yaml").write_text(json.dumps(project_of(blocks(guide)[number])))
    workspace = Workspace(root)
    assert workspace.project.resources
    assert [item.summary for item in workspace.noticed] == []


def test_a_block_with_a_slip_is_told(root: Path) -> None:
    project = project_of(blocks("search")[0])
    project["training"]["churn"]["epoch"] = 1
    (root / "mlctl.yaml").write_text(json.dumps(project))
    with pytest.raises(Exception, match="unknown field `epoch`"):
        _ = Workspace(root).project
