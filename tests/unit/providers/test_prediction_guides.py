"""What the guides of batches, streams and exports show is what the blocks take."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import yaml

from mlctl.registry import Registry

GUIDES = Path(__file__).parents[3] / "docs" / "guides"


def blocks(name: str) -> list[dict[str, dict[str, object]]]:
    text = (GUIDES / f"{name}.md").read_text()
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    return [block for block in found if "executor" not in block]  # a part of a block, which is tried with it below


@pytest.mark.parametrize(
    ("name", "count"), [("batch", 2), ("stream-predictions", 1), ("edge", 2)]
)  # so that a guide that lost its blocks is noticed
def test_the_blocks_of_a_guide_are_valid(name: str, count: int) -> None:
    found = blocks(name)
    assert len(found) == count
    for block in found:
        for section, resources in block.items():
            for values in resources.values():
                Registry().kind(section).spec.model_validate(values)


def test_the_executor_that_the_guide_shows_is_valid() -> None:
    text = (GUIDES / "batch.md").read_text()
    shown = re.search(r"```yaml\n(    executor: .*?)```", text, re.DOTALL)
    assert shown is not None
    values = next(iter(blocks("batch")[0]["batch_predictions"].values()))
    Registry().kind("batch_predictions").spec.model_validate({**dict(values), **yaml.safe_load(shown[1])})  # type: ignore[call-overload]
