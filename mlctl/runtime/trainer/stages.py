"""What comes before and after the ranks of a training, by what it learns from: a module `stages` in a room of its own each.

Each has `prepare(job, folder, report) -> RankPlan`, which writes PLAN_FILE as its last act and finds what an earlier try made, and
`finish(job, plan, folder, ended, report) -> Finished`, which makes the model of what the ranks left in the folder WEIGHTS. Both may
be called again after a kill, and raise MlctlError for what a person can put right.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ROOMS = {
    "table": "mlctl.runtime.trainer.tabular.stages",
    "text": "mlctl.runtime.trainer.text.stages",
    "custom": "mlctl.runtime.trainer.custom.stages",
}


@dataclass(frozen=True, slots=True)
class Finished:
    """The outputs of a training but for its run and time; what is worth keeping of its data; files that go into its run."""

    outputs: dict[str, Any]
    statistics: dict[str, Any]
    artifacts: list[Path] = field(default_factory=list)


def stages_of(data: str) -> Any:
    """The module for a type of data. Its imports take seconds."""
    return importlib.import_module(_ROOMS[data])
