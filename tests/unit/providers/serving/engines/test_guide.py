"""The blocks of docs/guides/llm-serving.md are blocks of deployments."""

from __future__ import annotations

import re
from pathlib import Path

import yaml

from mlctl.providers.serving.spec.deployment import DeploymentSpec

GUIDE = Path(__file__).parents[5] / "docs" / "guides" / "llm-serving.md"


def test_the_guides_deployments_are_understood() -> None:
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)]
    engines = [
        DeploymentSpec.model_validate(spec).serve.engine.type
        for block in found
        for spec in block["deployments"].values()
    ]
    assert engines == ["vllm", "xllamacpp", "command"]


def test_the_examples_deployment_is_understood() -> None:
    example = yaml.safe_load((GUIDE.parents[2] / "specs" / "chat" / "mlctl.yaml").read_text())
    assert DeploymentSpec.model_validate(example["deployments"]["helper_api"]).serve.engine.type == "vllm"
