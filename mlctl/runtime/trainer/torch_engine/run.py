"""The engine `torch`: plain PyTorch, with every way to spread a training. See `mlctl.runtime.trainer.engine`."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.engine import Ending, Place
from mlctl.runtime.trainer.plan import OFFSETS_FILE, PreparedText, RankPlan
from mlctl.runtime.trainer.stop import Stop
from mlctl.runtime.trainer.torch_engine.contracts import Distribution, Task
from mlctl.runtime.trainer.torch_engine.loop import Loop
from mlctl.types.jobs.recipe import Strategy

_ROOM = "mlctl.runtime.trainer.torch_engine"
_TASKS = {
    "table": ("table_task", "TableTask"),
    "text": ("text_task", "TextTask"),
    "custom": ("custom_task", "CustomTask"),
}
_SPREADS: dict[Strategy, tuple[str, str]] = {
    "single": ("single", "Single"),
    "ddp": ("ddp", "Ddp"),
    "fsdp": ("fsdp", "Fsdp"),
    "tensor": ("three_d", "ThreeD"),
    "pipeline": ("three_d", "ThreeD"),
    "3d": ("three_d", "ThreeD"),
}


def run(plan: RankPlan, place: Place, stop: Stop) -> Ending:
    """Train as the plan says, from the newest checkpoint on."""
    task: Task = _found(_TASKS[plan.data.type])(plan, place)
    spread: Distribution = _found(_SPREADS[plan.recipe.layout.strategy])(task, plan.recipe, place)
    lengths = None
    if isinstance(plan.data, PreparedText):
        lengths = np.diff(np.load(Path(plan.data.folder) / OFFSETS_FILE))
    return Loop(plan.recipe, place, stop, task, spread, lengths).run()


def _found(name: tuple[str, str]) -> Any:
    """A class of this engine; the import of some takes seconds."""
    return getattr(importlib.import_module(f"{_ROOM}.{name[0]}"), name[1])
