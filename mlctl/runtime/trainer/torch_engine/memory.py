"""What is given for memory: recomputation, transfers to the host, and for speed the compiler."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from mlctl.types.jobs.recipe import MemoryParams


def check_offload(asked: MemoryParams, device: torch.device) -> None:
    """Raise ValueError where there is no other memory to offload from."""
    if asked.offload and device.type == "cpu":
        raise ValueError(
            "`memory.offload` has no effect here: this training runs on the CPU, whose memory already holds everything; "
            "remove it, or train on a GPU"
        )


def recompute(blocks: Sequence[nn.Module]) -> None:
    """Have each block keep its inputs alone, and compute the rest again when its gradient is needed."""
    if not blocks:
        raise ValueError(
            "`memory.gradient_checkpointing` finds no blocks in this model: layers in an nn.ModuleList are recomputed one by one"
        )
    for block in blocks:
        block.forward = partial(checkpoint, block.forward, use_reentrant=False)


def compile_blocks(module: nn.Module, blocks: Sequence[nn.Module]) -> None:
    """Compile each block, which are alike and so share the work of the compiler; the whole module where its blocks are single
    layers, in which there is nothing to fuse."""
    whole = not all(any(True for _ in block.children()) for block in blocks)
    for part in [module] if whole or not blocks else blocks:
        part.compile()


def activations(asked: MemoryParams) -> AbstractContextManager[Any]:
    """Around a forward pass: what it keeps for the backward pass goes to the host's memory."""
    if "activations" not in asked.offload:
        return nullcontext()
    kept: AbstractContextManager[Any] = torch.autograd.graph.save_on_cpu(pin_memory=True)
    return kept
