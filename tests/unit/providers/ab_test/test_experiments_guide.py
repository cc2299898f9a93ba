"""The guide's example is a sound design."""

import re
from pathlib import Path
from typing import Any

import yaml

from mlctl.provider import Context
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.report import size_report, size_text
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.types.address import Address

GUIDE = Path(__file__).parents[4] / "docs/guides/experiments.md"
KINDS: dict[str, Any] = {"datasets": DatasetSpec, "deployments": DeploymentSpec, "experiments": ExperimentSpec}


def test_the_example_passes_and_says_how_long_it_takes(ctx: Context) -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)
    specs = {
        Address(section, name): KINDS[section].model_validate(body)
        for section, members in yaml.safe_load(block).items()
        for name, body in members.items()
    }
    experiment = Address("experiments", "free_delivery")
    assert Experiment().check(specs[experiment], ctx) == []
    uses = {address: [other for other in specs if other != address and address == experiment] for address in specs}
    assert list(Experiment().check_together(specs, uses, ctx)) == []
    told = size_text(size_report(specs[experiment], "shop", "free_delivery"))
    assert "guardrails  3" in told
    assert "<- planned" in told
