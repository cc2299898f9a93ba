"""Functions of the project that a training calls, and what they must give."""

from __future__ import annotations

import math
import traceback
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from mlctl.runtime.project_code import project_code
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Function


def load_function(code: Path, asked: Function) -> Callable[..., Any]:
    """A function from the copy of the project's code that is kept with a training."""
    with project_code(code, asked.file) as module:
        found: Callable[..., Any] = getattr(module, asked.function)
    return found


def row_losses(function: Callable[..., Any], outputs: Any, targets: Any, rows: int) -> torch.Tensor:
    """The sum of a project's losses. Raises TypeError or ValueError when they are not one number a row."""
    name = getattr(function, "__name__", "loss")
    losses = function(outputs, targets)
    if not isinstance(losses, torch.Tensor):
        raise TypeError(f"`{name}` gave {type(losses).__name__}, not a tensor of one loss for each row")
    if losses.shape not in ((rows,), (rows, 1)):
        raise ValueError(
            f"`{name}` gave a tensor of shape {tuple(losses.shape)} for {rows} rows; it must be (rows,), one loss for each row "
            "(use `reduction='none'`)"
        )
    if torch.is_grad_enabled() and not losses.requires_grad:
        raise ValueError(
            f"`{name}` gave losses without a gradient: compute them from the model's outputs by torch functions"
        )
    return losses.float().sum()


def own_metrics(code: Path, asked: Function, outputs: Any, targets: Any) -> dict[str, float]:
    """A project's own metrics of the validation rows. Raises MlctlError when its function fails, or gives something else."""
    try:
        return _figures(load_function(code, asked)(outputs, targets), asked.function)
    except Exception as error:
        frames = traceback.extract_tb(error.__traceback__)
        at = next((frame for frame in reversed(frames) if str(code) in frame.filename), frames[-1])
        raise MlctlError.of(
            "training.metrics-failed",
            f"the metrics of `{asked.file}:{asked.function}` cannot be taken: {type(error).__name__}: {error}",
            f"raised at {at.filename}:{at.lineno}; the model itself is trained, and its weights are kept",
            "correct the function; it is called as `metrics(outputs, targets)` and gives a dict of numbers by name",
        ) from error


def _figures(found: Any, name: str) -> dict[str, float]:
    if not isinstance(found, Mapping):
        raise TypeError(f"`{name}` gave {type(found).__name__}, not a dict of numbers by name")
    figures = {}
    for key, value in found.items():
        if not isinstance(key, str):
            raise TypeError(f"`{name}` gave the metric {key!r}, whose name is not a text")
        try:
            number = float(value)
        except (TypeError, ValueError):
            raise TypeError(f"`{name}` gave {value!r} for `{key}`, which is not a number") from None
        if not math.isfinite(number):
            raise ValueError(f"`{name}` gave {number} for `{key}`")
        figures[key] = number
    return figures
