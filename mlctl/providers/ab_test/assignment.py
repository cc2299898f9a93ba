"""Assign a unit to an arm of an experiment that was applied, for `mlctl experiment assign`, and check what a front end assigned."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.providers.ab_test.experiment import ranges_of
from mlctl.stats.assignment import Arm, bucket, choose, in_range, namespace_bucket
from mlctl.types.diagnostic import MlctlError
from mlctl.types.state import Record

# Ids that tell implementations of the hash apart: of bytes or code units, of text or numbers.
PROBES = ("1", "2", "user-42", "Zoë", "日本", "😀", "00000000-0000-4000-8000-000000000000", "a b&c")


def assign(record: Record, unit_id: str) -> str | None:
    """The arm of a unit, by the ranges and the salt in the state; None when the unit does not take part. Raises MlctlError."""
    outputs = applied(record)
    if unit_id == "":
        raise MlctlError.of(
            "experiment.empty-unit",
            "the unit is empty",
            "all units without an id would land in one arm",
            f"give a {outputs['unit']}",
        )
    if why_not(outputs, unit_id):
        return None
    arms = [Arm(name, *piece) for name, item in outputs["arms"].items() for piece in ranges_of(item)]
    return choose(bucket(unit_id, outputs["salt"]), arms)


def applied(record: Record) -> Mapping[str, Any]:
    """The outputs of an experiment. Raises MlctlError while it has none."""
    if "arms" not in record.outputs:
        raise MlctlError.of(
            "experiment.not-applied",
            f"{record.key.address} has no arms yet",
            "arms are assigned by what was applied, so that they cannot move by an edit",
            "run `mlctl apply`",
        )
    return record.outputs


def why_not(outputs: Mapping[str, Any], unit_id: str) -> str:
    """What keeps a unit out before any arm is drawn: the holdout, or its place in the namespace. Empty when nothing does."""
    holdout, namespace = outputs.get("holdout"), outputs.get("namespace")
    if holdout is not None and bucket(unit_id, holdout["salt"]) < holdout["share"]:
        return "held out of all experiments"
    if namespace is not None and not in_range(namespace_bucket(unit_id, namespace["name"]), *namespace["range"]):
        return f"outside of its range of the namespace {namespace['name']}"
    return ""


def vectors(record: Record) -> list[dict[str, Any]]:
    """What a front end has to come to for some ids: the bucket of each, and its arm."""
    salt = applied(record)["salt"]
    return [{"unit": unit, "bucket": bucket(unit, salt), "arm": assign(record, unit)} for unit in PROBES]


def compare(record: Record, assignments: Mapping[str, str | None]) -> list[tuple[str, str | None, str | None]]:
    """Units to whom somebody else gave another arm: the unit, their arm, ours."""
    arms = set(applied(record)["arms"])
    unknown = sorted({str(arm) for arm in assignments.values() if arm is not None and arm not in arms})
    if unknown:
        raise MlctlError.of(
            "experiment.unknown-arm",
            f"the file has arms that {record.key.address} does not have: {', '.join(unknown)}",
            f"its arms are {', '.join(sorted(arms))}",
            "use the names of the spec, and null for a unit that takes no part",
        )
    ours = {unit: assign(record, unit) for unit in assignments}
    return [(unit, arm, ours[unit]) for unit, arm in assignments.items() if arm != ours[unit]]


def read_assignments(content: Any) -> dict[str, str | None]:
    """A front end's assignments: an object of unit and arm, or a list of `{unit, arm}`. Raises MlctlError for anything else."""
    if isinstance(content, list) and all(isinstance(one, dict) and {"unit", "arm"} <= one.keys() for one in content):
        content = {one["unit"]: one["arm"] for one in content}
    if (
        isinstance(content, dict)
        and content
        and all(isinstance(unit, str) and (arm is None or isinstance(arm, str)) for unit, arm in content.items())
    ):
        return content
    raise MlctlError.of(
        "experiment.assignments",
        "the file holds no assignments",
        'it is to be an object such as {"user-1": "control", "user-2": null}, or a list of {"unit": ..., "arm": ...}; ids are text',
        "write down what the front end assigned to a few thousand ids",
    )
