"""The blocks of the guide say what is allowed, and its tables what is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.runtime.middleware.content import CAPTURES
from tests.unit.providers.serving.test_observe import problems

TEXT = (Path(__file__).parents[4] / "docs/guides/observability.md").read_text()
ROWS, LANGUAGE = (yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL))


def test_its_blocks_are_taken_as_they_stand(tmp_path: Path) -> None:
    ROWS["observe"]["traces"] = {
        **ROWS["observe"]["traces"],
        "endpoint": "http://127.0.0.1:4318",
        "headers": {},
    }  # which come from the environment
    assert problems(tmp_path, **ROWS) == []
    block: dict[str, Any] = {"serve": {"port": 8080, "engine": "vllm"}, **LANGUAGE}
    assert problems(tmp_path, **block) == []
    assert DeploymentSpec.model_validate({"model": "a@b", **block}).observe.capture == "redacted"


def test_each_way_to_capture_is_told() -> None:
    assert all(f"| `{name}`" in TEXT for name in CAPTURES)
