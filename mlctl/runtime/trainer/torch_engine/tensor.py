"""Cut the weight matrices of a language model over tensor parallel ranks, as Megatron-LM does (Shoeybi et al. 2019).

Queries, keys, values and the first half of a feed-forward layer are cut by columns, what comes after them by rows, so that a layer
needs two sums over the ranks. Embeddings and the output layer are cut by tokens of the vocabulary. Norms are held by each rank.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from mlctl.runtime.trainer.torch_engine.llama import Elsewhere, LanguageModel

if TYPE_CHECKING:
    from torch.distributed.device_mesh import DeviceMesh

_BY_COLUMNS = ("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "mlp.gate_proj", "mlp.up_proj")
_BY_ROWS = ("self_attn.o_proj", "mlp.down_proj")
_BY_TOKENS = ("embed_tokens", "lm_head")
_HEAD_NORMS = ("q_norm", "k_norm")  # of Qwen3: one weight for all heads, of which each rank sees its own


def cut_by(name: str) -> int | None:
    """The dimension by which tensor ranks share the parameter of this name; None where each holds it whole."""
    owner, _, kind = name.rpartition(".")
    if owner.endswith(_BY_COLUMNS + _BY_TOKENS):
        return 0
    return 1 if owner.endswith(_BY_ROWS) and kind == "weight" else None


def cut_matrices(module: LanguageModel, mesh: DeviceMesh) -> None:
    """Leave this rank its part of each matrix. `module` may be a pipeline stage, and need have no memory yet."""
    from torch.distributed.tensor import Replicate
    from torch.distributed.tensor.parallel import ColwiseParallel, RowwiseParallel, parallelize_module

    block: dict[str, Any] = {name: ColwiseParallel() for name in _BY_COLUMNS}
    block.update({name: RowwiseParallel() for name in _BY_ROWS})
    for layer in module.model.layers:
        if isinstance(layer, Elsewhere):
            continue
        parallelize_module(layer, mesh, block)
        for name in _HEAD_NORMS:
            norm = getattr(layer.self_attn, name, None)
            if norm is not None:
                setattr(layer.self_attn, name, HeadNorm(norm, mesh))
    if module.first:
        parallelize_module(module.model, mesh, {"embed_tokens": RowwiseParallel(input_layouts=Replicate())})
    if module.last:
        parallelize_module(module, mesh, {"lm_head": ColwiseParallel(output_layouts=Replicate())})


class HeadNorm(nn.Module):  # type: ignore[misc]
    """The root mean square norm of each head, with one weight for the heads of all ranks: its gradient is the sum of theirs."""

    def __init__(self, norm: Any, mesh: DeviceMesh) -> None:
        super().__init__()
        self.weight, self.epsilon, self._mesh = norm.weight, norm.variance_epsilon, mesh

    def forward(self, heads: torch.Tensor) -> torch.Tensor:
        """Heads (..., head) at length one, times the weight. The order of operations is that of Transformers."""
        wide = heads.float()
        normed = wide * torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + self.epsilon)
        weight: torch.Tensor = _SumOfGradients.apply(self.weight, self._mesh)
        return weight * normed.to(heads.dtype)


class _SumOfGradients(torch.autograd.Function):  # type: ignore[misc]
    """The value as it is; its gradient is summed over the ranks."""

    @staticmethod
    def forward(ctx: Any, value: torch.Tensor, mesh: DeviceMesh) -> torch.Tensor:
        ctx.group = mesh.get_group()
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None]:
        total = gradients[0].contiguous()
        torch.distributed.all_reduce(total, group=ctx.group)
        return total, None
