"""The design that the tests of experiments share, and what they do with it."""

from copy import deepcopy
from typing import Any

from mlctl.provider import Context
from mlctl.providers.ab_test.experiment import Experiment
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.testing.harness import apply_once
from mlctl.types.address import Address, ObjectKey
from mlctl.types.state import Record

MAIL: dict[str, Any] = {
    "deployment": "shops_api",
    "hypothesis": "A reminder brings 5 % more of them back",
    "unit": "household_id",
    "arms": {"treatment": 50, "control": 50},
    "primary": {"metric": "shops", "type": "proportion", "baseline": 0.60, "mde": {"relative": 0.05}},
    "guardrails": [{"metric": "p95_seconds", "max_ratio": 1.1}, {"metric": "error_rate", "margin": 0.002}],
    "design": {"power": 0.8, "alpha": 0.05, "min_duration": "7d", "daily_units": 300},
}


def changed(path: str, value: Any) -> dict[str, Any]:
    """MAIL with one leaf put in, or taken out where the value is `...`."""
    values = deepcopy(MAIL)
    *parents, name = path.split(".")
    block = values
    for parent in parents:
        block = block[parent]
    if value is ...:
        del block[name]
    else:
        block[name] = value
    return values


def apply(values: dict[str, Any], ctx: Context) -> Record:
    deployment = Record(ObjectKey(Address("deployments", "shops_api"), ""), outputs={"digest": "d"})
    return apply_once(Experiment(), "experiments.reminder_mail", values, ctx, {"deployments.shops_api": deployment})


def codes(values: dict[str, Any], ctx: Context) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(item.code, item.path) for item in Experiment().check(ExperimentSpec.model_validate(values), ctx)]
