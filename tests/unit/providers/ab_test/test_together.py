from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address

API, OFFER = Address("deployments", "api"), Address("experiments", "offer")
ARMS: dict[str, Any] = {"control": {"model": "churn@champion"}, "treatment": {"model": "churn@challenger"}}
DESIGN = {
    "deployment": "api",
    "hypothesis": "it is better",
    "unit": "user_id",
    "arms": {"control": 50, "treatment": 50},
    "primary": {"metric": "retained", "type": "proportion", "baseline": 0.2, "mde": {"relative": 0.1}},
    "design": {"daily_units": 10_000},
}


def codes(folder: Path, *, rollout: dict[str, Any] | None = None, **edited: Any) -> list[str]:
    block: dict[str, Any] = {"model": "churn@champion", "serve": {"port": 8080}}
    if rollout is not None:
        block["rollout"] = rollout
    specs = {API: DeploymentSpec.model_validate(block), OFFER: ExperimentSpec.model_validate({**DESIGN, **edited})}
    kind = Experiment()
    found = list(kind.check_together(specs, {OFFER: [API], API: []}, make_context(folder)))
    assert {address for address, _ in found} <= {OFFER}
    return [problem.code for _, problem in found]


def test_a_gateway_that_splits_alike_is_right(tmp_path: Path) -> None:
    split = {"ab": {"arms": ARMS}, "unit": "x-user-id", "salt": "offer-2026"}
    assert codes(tmp_path, rollout=split, salt="offer-2026") == []
    assert codes(tmp_path, rollout=split, salt="offer-2026", arms={"treatment": 1, "control": 1}) == []


def test_a_deployment_without_a_split_is_none_of_its_business(tmp_path: Path) -> None:
    assert codes(tmp_path) == []
    assert codes(tmp_path, rollout={"all_at_once": True}, coverage="50%") == []


@pytest.mark.parametrize(
    ("rollout", "edited", "code"),
    [
        ({"unit": "x-user-id", "salt": "s"}, {"salt": "s", "arms": {"control": 90, "treatment": 10}}, "arms-differ"),
        ({"unit": "x-user-id", "salt": "s"}, {"salt": "s", "arms": {"control": 1, "other": 1}}, "arms-differ"),
        ({"unit": "x-user-id", "salt": "s"}, {"salt": "s", "coverage": "50%"}, "coverage"),
        ({"unit": "x-user-id"}, {}, "salt-differs"),
        ({}, {"salt": "api"}, "no-unit"),
    ],
)
def test_a_gateway_that_splits_otherwise_is_refused(
    tmp_path: Path, rollout: dict[str, Any], edited: dict[str, Any], code: str
) -> None:
    assert codes(tmp_path, rollout={"ab": {"arms": ARMS}, **rollout}, **edited) == [f"experiment.{code}"]
