"""Assign a unit to an arm of an experiment that was applied, for `mlctl experiment assign`."""

from __future__ import annotations

from mlctl.stats.assignment import Arm, bucket, choose
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record


def assign(record: Record, unit_id: str) -> str | None:
    """The arm of a unit, by the ranges and the salt in the state; None when the unit does not take part. Raises MlctlError."""
    if "arms" not in record.outputs:
        raise MlctlError.of(
            "experiment.not-applied",
            f"{record.key.address} has no arms yet",
            "arms are assigned by what was applied, so that they cannot move by an edit",
            "run `mlctl apply`",
        )
    if unit_id == "":
        raise MlctlError.of(
            "experiment.empty-unit",
            "the unit is empty",
            "all units without an id would land in one arm",
            f"give a {record.outputs['unit']}",
        )
    arms = [Arm(name, item["range"][0], item["range"][1]) for name, item in record.outputs["arms"].items()]
    return choose(bucket(unit_id, record.outputs["salt"]), arms)
