"""The blocks of docs/guides/kubernetes.md are deployments that are accepted and rendered."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mlctl.providers.serving.kubernetes import kept
from mlctl.providers.serving.kubernetes.rules import target_problems
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.testing.harness import make_context
from tests.unit.providers.serving.kubernetes.blocks import desired, language_model

GUIDE = Path(__file__).parents[5] / "docs/guides/kubernetes.md"
BLOCKS = [
    (name, block)
    for text in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    for name, block in yaml.safe_load(text)["deployments"].items()
]


@pytest.mark.parametrize(("name", "block"), BLOCKS)
def test_the_blocks_of_the_guide_are_rendered(name: str, block: dict[str, object], tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    assert list(target_problems(DeploymentSpec.model_validate(block), ctx)) == []
    if name == "chat":
        asked, served = language_model(ctx, {**block, "model": "churn@champion"})
    else:
        asked, served = desired(ctx, dict(block))
    kinds = [item["kind"] for item in kept.manifests(asked, served, ctx)]
    assert "Deployment" in kinds
    assert ("HTTPRoute" in kinds) == (name == "churn_api")


def test_the_guide_has_blocks() -> None:
    assert [name for name, _ in BLOCKS] == ["churn_api", "chat"]
