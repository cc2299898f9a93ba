"""What the guide of labels shows is what the blocks take."""

import re
from pathlib import Path

import yaml

from mlctl.provider import Context
from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.testing.harness import make_context

GUIDE = Path(__file__).parents[4] / "docs" / "guides" / "labels-and-concept-drift.md"


def test_the_blocks_of_the_guide_are_valid(tmp_path: Path) -> None:
    ctx: Context = make_context(tmp_path)
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE.read_text(), re.DOTALL)]
    assert len(found) == 3
    for block in found:
        for values in block["monitors"].values():
            assert Monitor().check(MonitorSpec.model_validate(values), ctx) == []
