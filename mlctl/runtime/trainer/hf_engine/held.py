"""What a rank holds by itself, counted, and what its strategy promises."""

from __future__ import annotations

import math
from typing import Any

from torch import nn

from mlctl.runtime.trainer.engine import Held
from mlctl.runtime.trainer.hf_engine.optimizers import state_elements
from mlctl.types.jobs.recipe import ZERO, Recipe

_TOLERANCE = 0.05  # padding, and the little that is kept whole
_PADDING = 256  # elements of a cut tensor, on each rank
_STATE = {"adamw": 2, "adamw_8bit": 2, "sgd": 1, "adafactor": 2}  # elements for each that is trained, at most


def parameters(model: nn.Module) -> int:
    """Elements of the parameters that this rank holds: of what ZeRO-3 has cut, its part."""
    return sum(_own(value) for value in model.parameters())


def optimizer_state(optimizer: Any) -> int:
    """Elements of the optimizer's state that this rank holds."""
    while hasattr(optimizer, "optimizer"):  # as accelerate and DeepSpeed wrap it
        optimizer = optimizer.optimizer
    return state_elements(optimizer)


def sizes(model: nn.Module) -> tuple[int, int]:
    """How many parameters are trained, and how many there are, over all ranks."""
    counted = [(_whole(value), value.requires_grad) for value in model.parameters()]
    return sum(size for size, trained in counted if trained), sum(size for size, _ in counted)


def promised(recipe: Recipe, model: nn.Module) -> Held:
    """What a rank may hold at most if the work is spread as the strategy says."""
    strategy, world = recipe.layout.strategy, recipe.layout.data
    cut = strategy == "zero3"
    own = sum(
        math.ceil(_whole(value) / world) if cut and not getattr(value, "ds_persist", False) else _stored(value)
        for value in model.parameters()
    )
    state = sizes(model)[0] * _STATE[recipe.optimizer.type]
    count = sum(1 for _ in model.parameters())
    return Held(_loosely(own, count), _loosely(math.ceil(state / world) if strategy in ZERO else state, count))


def check(strategy: str, own: Held, most: Held) -> None:
    """Raise RuntimeError for a rank that holds more than its strategy promises."""
    for what in ("parameters", "optimizer"):
        found, limit = getattr(own, what), getattr(most, what)
        if found > limit:
            name = "parameters" if what == "parameters" else "elements of the optimizer's state"
            raise RuntimeError(
                f"`strategy: {strategy}` is not in force: this process holds {found:,} {name}, and should hold {limit:,} at "
                "most; this is a mistake of mlctl or of a library's version, please report it"
            )


def _loosely(count: int, tensors: int) -> int:
    return math.ceil(count * (1 + _TOLERANCE)) + _PADDING * tensors


def _own(value: nn.Parameter) -> int:
    cut = getattr(value, "ds_tensor", None)
    if cut is None:
        return _stored(value)
    return int(value.ds_numel if getattr(value, "ds_persist", False) else cut.numel())


def _stored(value: nn.Parameter) -> int:
    return int(getattr(value, "ds_numel", 0) or value.numel())


def _whole(value: nn.Parameter) -> int:
    """Elements of a parameter before it was cut or put into 4 bits."""
    quantized = getattr(value, "quant_state", None)
    return math.prod(quantized.shape) if quantized is not None else _stored(value)
