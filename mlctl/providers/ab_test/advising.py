"""What a verdict asks of the deployment: to serve the arm that won to all, or to end an arm that did not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from mlctl.files.advice import Advice, give, withdraw
from mlctl.provider import Context
from mlctl.providers.ab_test.spec import CONTROL, ExperimentSpec
from mlctl.types.state import Record

Records = Mapping[str, Record]


@dataclass(frozen=True)
class Promotion:
    """Which arm is to answer all requests, by which model, and what of the deployment's block that is said of."""

    deployment: str  # an address
    arm: str
    model: str
    shipped: bool  # else the treatments are ended
    split: Mapping[str, Any]  # its `rollout`, as it was applied


def promotion(spec: ExperimentSpec, records: Records, outputs: Mapping[str, Any]) -> Promotion | None:
    """Of a ruling that is at its end; None while it goes on, is invalid, or the deployment has no split of models."""
    address = f"deployments.{spec.deployment}"
    split: Any = records[address].spec.get("rollout") if address in records else None
    ab = split.get("ab") if isinstance(split, dict) else None
    if not isinstance(ab, dict) or outputs["verdict"] not in ("ship", "stop"):
        return None
    arm = outputs["arm"] if outputs["verdict"] == "ship" else CONTROL
    if arm not in ab.get("arms", {}):
        return None
    return Promotion(address, arm, str(ab["arms"][arm]["model"]), outputs["verdict"] == "ship", split)


def advise(record: Record, spec: ExperimentSpec, records: Records, outputs: Mapping[str, Any], ctx: Context) -> None:
    """Tell it where plans look, or take back what was told before."""
    found, by = promotion(spec, records, outputs), str(record.key.address)
    if found is None:
        withdraw(ctx.home, f"deployments.{spec.deployment}", by)
        return
    done = f"ships {found.arm}" if found.shipped else "stops, and no treatment is to be kept"
    text = f"{by} {done}: write `model: {found.model}` and remove `rollout`, or run `mlctl experiment promote {record.key.address.name} --write`"
    give(ctx.home, Advice(found.deployment, by, text, {"rollout": found.split}))
