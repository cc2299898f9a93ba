from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.providers.local.spec_dataset import DatasetSpec
from mlctl.providers.serving.spec.deployment import DeploymentSpec
from mlctl.testing.harness import make_context
from mlctl.types.address import Address

API, OFFER = Address("deployments", "api"), Address("experiments", "offer")
ARMS: dict[str, Any] = {"control": {"model": "churn@champion"}, "treatment": {"model": "churn@challenger"}}
DESIGN: dict[str, Any] = {
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
        ({"unit": "x-user-id", "salt": "s"}, {"salt": "s", "holdout": 0.1}, "holdout"),
        ({"unit": "x-user-id", "salt": "s"}, {"salt": "s", "namespace": {"name": "n", "range": [0, 1]}}, "namespace"),
        ({"unit": "x-user-id"}, {}, "salt-differs"),
        ({}, {"salt": "api"}, "no-unit"),
    ],
)
def test_a_gateway_that_splits_otherwise_is_refused(
    tmp_path: Path, rollout: dict[str, Any], edited: dict[str, Any], code: str
) -> None:
    assert codes(tmp_path, rollout={"ab": {"arms": ARMS}, **rollout}, **edited) == [f"experiment.{code}"]


LETTER = Address("experiments", "letter")
OUTCOMES = {"dataset": "visits", "timestamp": "at"}


def together(folder: Path, first: dict[str, Any], second: dict[str, Any]) -> list[tuple[Address, str]]:
    specs = {
        API: DeploymentSpec.model_validate({"model": "churn@champion", "serve": {"port": 8080}}),
        LETTER: ExperimentSpec.model_validate({**DESIGN, **first}),
        OFFER: ExperimentSpec.model_validate({**DESIGN, **second}),
    }
    uses = {OFFER: [API], LETTER: [API], API: []}
    return [
        (address, problem.code) for address, problem in Experiment().check_together(specs, uses, make_context(folder))
    ]


def slice_of(low: float, high: float, name: str = "checkout") -> dict[str, Any]:
    return {"namespace": {"name": name, "range": [low, high]}}


def test_slices_of_a_namespace_that_overlap_are_refused(tmp_path: Path) -> None:
    overlap = [(OFFER, "experiment.namespace-overlap")]
    assert together(tmp_path, slice_of(0, 0.5), slice_of(0.4, 1)) == overlap
    assert together(tmp_path, slice_of(0, 1), slice_of(0.2, 0.3)) == overlap
    assert together(tmp_path, slice_of(0, 0.5), slice_of(0.5, 1)) == []
    assert together(tmp_path, slice_of(0, 0.5), slice_of(0, 0.5, "search")) == []
    assert together(tmp_path, slice_of(0, 0.5), {}) == []
    assert together(tmp_path, slice_of(0, 0.5), {**slice_of(0.4, 1), "unit": "visit_id"}) == []


def test_units_that_one_experiment_holds_out_see_no_other(tmp_path: Path) -> None:
    differs = [(OFFER, "experiment.holdout-differs")]
    assert together(tmp_path, {"holdout": 0.1}, {}) == differs
    assert together(tmp_path, {"holdout": 0.1}, {"holdout": 0.2}) == differs
    assert together(tmp_path, {"holdout": 0.1}, {"holdout": 0.1}) == []


@pytest.mark.parametrize(
    ("key", "primary", "code"),
    [
        (["visit_id"], {}, ["experiment.row-level"]),
        (["visit_id"], {"aggregate": "any"}, []),
        (["user_id"], {}, []),
        (["user_id", "at"], {}, []),
        ([], {}, []),
    ],
)
def test_rows_that_are_no_units_are_not_tested_as_if_they_were(
    key: list[str], primary: dict[str, Any], code: list[str], tmp_path: Path
) -> None:
    visits = Address("datasets", "visits")
    spec = {**DESIGN, "outcomes": OUTCOMES, "primary": {**DESIGN["primary"], **primary}}
    specs = {
        API: DeploymentSpec.model_validate({"model": "churn@champion", "serve": {"port": 8080}}),
        visits: DatasetSpec.model_validate({"path": "visits.csv", "key": key}),
        OFFER: ExperimentSpec.model_validate(spec),
    }
    found = Experiment().check_together(specs, {OFFER: [API, visits], API: [], visits: []}, make_context(tmp_path))
    assert [problem.code for _, problem in found] == code


def test_outcomes_without_anybody_who_was_exposed_are_refused(tmp_path: Path) -> None:
    deployment = {"model": "churn@champion", "serve": {"port": 8080}, "log": {"predictions": False}}
    for exposures, code in (({}, ["experiment.no-log"]), ({"exposures": OUTCOMES}, [])):
        specs = {
            API: DeploymentSpec.model_validate(deployment),
            OFFER: ExperimentSpec.model_validate({**DESIGN, "outcomes": OUTCOMES, **exposures}),
        }
        found = Experiment().check_together(specs, {OFFER: [API], API: []}, make_context(tmp_path))
        assert [problem.code for _, problem in found] == code
