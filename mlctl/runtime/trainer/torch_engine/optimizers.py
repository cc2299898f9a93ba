"""The optimizers of the engine `torch`, and how many elements their state has."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from math import prod

import torch

from mlctl.types.jobs.recipe import OptimizerParams

_BLOCK = 256  # elements of an 8-bit state that share a scale; its tables of values have as many entries


def make_optimizer(asked: OptimizerParams, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    """An optimizer of the parameters that are trained. Raises ValueError for what it cannot do."""
    trained = [parameter for parameter in parameters if parameter.requires_grad]
    if not trained:
        raise ValueError("the model has no parameter to train")
    fused = True if asked.fused else None
    if asked.type == "adamw":
        return torch.optim.AdamW(trained, lr=asked.lr, betas=asked.betas, weight_decay=asked.weight_decay, fused=fused)
    if asked.type == "sgd":
        return torch.optim.SGD(
            trained, lr=asked.lr, momentum=asked.momentum, weight_decay=asked.weight_decay, fused=fused
        )
    if asked.fused:
        raise ValueError(f"`optimizer.fused` has no effect on `{asked.type}`")
    if asked.type == "adafactor":
        return torch.optim.Adafactor(trained, lr=asked.lr, weight_decay=asked.weight_decay)
    return _adamw_8bit(asked, trained)


def _adamw_8bit(asked: OptimizerParams, trained: list[torch.nn.Parameter]) -> torch.optim.Optimizer:
    try:
        import bitsandbytes
    except ImportError:
        raise ValueError("the optimizer `adamw_8bit` needs the package `bitsandbytes`") from None
    made: torch.optim.Optimizer = bitsandbytes.optim.AdamW8bit(
        trained, lr=asked.lr, betas=asked.betas, weight_decay=asked.weight_decay
    )
    return made


def state_bound(asked: OptimizerParams, shapes: Sequence[Sequence[int]]) -> int:
    """The most elements that the state of these parameters has."""
    elements, count = sum(prod(shape) for shape in shapes), len(shapes)
    if asked.type == "adamw":
        return 2 * elements + count
    if asked.type == "sgd":
        return elements if asked.momentum else 0
    if asked.type == "adafactor":
        return count + sum(_factors(shape) for shape in shapes)
    return 2 * elements + 2 * (elements // _BLOCK + count) + 4 * _BLOCK * count


def _factors(shape: Sequence[int]) -> int:
    """Adafactor keeps the mean square of each row and column of a matrix, and of each element of a vector."""
    if len(shape) < 2:
        return prod(shape)
    rows, columns = shape[-2:]
    return prod(shape[:-2]) * (rows + columns)


def state_elements(optimizer: torch.optim.Optimizer) -> int:
    """The elements of an optimizer's state that this process holds by itself."""
    return sum(
        local(value).numel()
        for state in optimizer.state.values()
        for value in state.values()
        if isinstance(value, torch.Tensor)
    )


def local(value: torch.Tensor) -> torch.Tensor:
    """This process's own part of a tensor that may be spread over several."""
    from torch.distributed.tensor import DTensor

    return value.to_local() if isinstance(value, DTensor) else value
