"""Make an experiment's decision again, from the sums and the looks that are kept with it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.files.decision_code import code_of
from mlctl.provider import Context
from mlctl.stats.experiment_analysis import Design, analyse
from mlctl.stats.experiment_verdict import Look
from mlctl.types.decision import Decision
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import MOMENTS_FILE
from mlctl.types.value import Json

# All that the outcome depends on, once the data are sums.
_MODULES = (
    "always_valid", "arm_metrics", "contrast", "experiment_analysis", "experiment_parts", "experiment_verdict", "group_sequential",
    "multiple", "noninferiority", "sequential", "srm", "subgroups",
)  # fmt: skip


def code() -> str:
    """What decides now."""
    return code_of(f"mlctl.stats.{name}" for name in _MODULES)


def replay(decision: Decision, folder: Path, ctx: Context) -> Mapping[str, Json]:
    """The outputs once more. Raises MlctlError when what they were made of is gone or was changed into something else."""
    try:
        inputs: Any = decision.inputs
        design = Design.from_json(inputs["design"])
        looks = [Look.from_json(one) for one in inputs["looks"]]
        moments = moments_of((folder / MOMENTS_FILE).read_bytes())
        return analyse(design, moments, looks, final=inputs["final"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise MlctlError.of(
            "decision.broken",
            f"the decision {folder.name} cannot be made again",
            f"{type(error).__name__}: {error}",
            f"look at {folder}",
        ) from None


def moments_of(stored: bytes) -> dict[str, Any]:
    """The sums as they were kept. Raises ValueError."""
    found: dict[str, Any] = json.loads(stored)
    return found
