"""Make the decision of a gate again: of a rollout, from the counts of each look."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from mlctl.files.decision_code import code_of
from mlctl.provider import Context
from mlctl.rollout.replay import DECIDING, verdict_of
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.rollout import LOOKS_FILE, GateRule
from mlctl.types.value import Json


def code() -> str:
    """As `Decision.code` would be now."""
    return code_of(DECIDING)


def replay(decision: Decision, folder: Path, ctx: Context) -> Mapping[str, Json]:
    """The verdict of the last look. Raises MlctlError for a gate that is no test of a rollout, or whose looks were not kept."""
    if "looks" not in decision.inputs:
        raise MlctlError.of(
            "decision.no-replay",
            f"the verdict of {decision.address} cannot be made again from the ledger",
            "an evaluation measures a model on data; both are kept with the evaluation, and not with the decision",
            f"`mlctl models reproduce` makes the model again; `mlctl show {decision.address}` tells what was measured",
        )
    try:
        rule = GateRule.model_validate(decision.inputs["rule"])
        lines = (folder / LOOKS_FILE).read_bytes().splitlines() if LOOKS_FILE in decision.files else []
        return {"verdict": verdict_of(rule, map(json.loads, lines))}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MlctlError.of(
            "decision.evidence-gone",
            f"the gate of {decision.address} cannot be asked again",
            f"what it had to go by at each look is not all there ({error})",
            "see the figures that are kept with `mlctl decisions show`",
        ) from None
