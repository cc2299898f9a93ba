"""The gate in front of all releases guards a deployment with a strategy too."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from mlctl.provider import Condition
from mlctl.providers.serving import controllers
from mlctl.providers.serving.client import predict
from mlctl.providers.serving.rollouts import standing
from tests.integration.serving.project import run_script
from tests.integration.serving.test_parity_gate import REQUIRE, Gated

pytestmark = [pytest.mark.tools, pytest.mark.soak]

ROLLOUT = {"canary": {"steps": [{"weight": 50, "pause": "confirm"}]}}


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Gated]:
    run_script("make_models.py", tmp_path, "made")
    run_script("make_store.py", tmp_path, "store")
    found = Gated(tmp_path, tmp_path / "made")
    shutil.rmtree(tmp_path / "made")
    try:
        yield found
    finally:
        controllers.end(found.folder / controllers.FOLDER, "api", 0.0, found.ctx)
        found.end()


def test_a_version_whose_features_differ_does_not_even_start(gated: Gated) -> None:
    first = gated.apply("1", "one", store=True, require=REQUIRE, rollout=ROLLOUT)
    assert first.gate is not None
    assert first.gate.passed
    gated.set_online("visits", "1")
    held = gated.apply("2", "two", store=True, require=REQUIRE, rollout=ROLLOUT)
    assert held.gate is not None
    assert held.gate.summary == "offline and online features differ: spending"
    assert (held.id, held.outputs["version"]) == ("gateway", "1")
    assert predict(held, {"household_id": 2})["version"] == "1"
    seen = gated.read()
    assert seen is not None
    assert seen.condition is Condition.BROKEN  # so that the next apply compares again
    for _ in range(2):  # once more starts nothing
        approved = gated.approve()
        assert approved.outputs["version"] == "2"
        found = standing(gated.folder / controllers.FOLDER)
        assert found is not None
        assert found.says() == "canary: step 1 of 1, 50 %, shops v2"
