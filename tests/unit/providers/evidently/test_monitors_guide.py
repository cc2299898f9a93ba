"""The blocks of docs/guides/monitors.md are monitors, and its table of margins is the one in force."""

import re
from pathlib import Path

import yaml

from mlctl.providers.evidently.monitor import Monitor
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.drift import MARGINS, Method
from mlctl.testing.harness import make_context

GUIDE = (Path(__file__).parents[4] / "docs" / "guides" / "monitors.md").read_text()


def test_the_guides_monitors_are_understood(tmp_path: Path) -> None:
    blocks = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", GUIDE, re.DOTALL)]
    specs = [MonitorSpec.model_validate(spec) for block in blocks for spec in block["monitors"].values()]
    assert len(specs) == 3
    assert [Monitor().check(spec, make_context(tmp_path)) for spec in specs] == [[], [], []]


def test_every_method_is_told_with_its_margin() -> None:
    told = re.findall(r"^\| `(\w+)` \|.*: (0\.\d+)(?:; [^|]*)? \|$", GUIDE, re.MULTILINE)
    assert {name: float(margin) for name, margin in told} == {
        method.value: margin for method, margin in MARGINS.items()
    }
    assert len(told) == len(Method)
