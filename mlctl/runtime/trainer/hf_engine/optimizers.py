"""The optimizer of a recipe, GaLore's too, and how its learning rate moves."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from mlctl.runtime.trainer.schedule import learning_rate
from mlctl.runtime.trainer.torch_engine.optimizers import make_optimizer
from mlctl.types.jobs.recipe import GaloreMethod, OptimizerParams, Recipe


def build(recipe: Recipe, module: nn.Module) -> torch.optim.Optimizer:
    """The optimizer over what is trained."""
    if isinstance(recipe.method, GaloreMethod):
        return _galore(recipe.optimizer, recipe.method, module)
    if recipe.optimizer.type == "adamw_8bit":
        _spare_embeddings(module)
    return make_optimizer(recipe.optimizer, module.parameters())


def _spare_embeddings(module: nn.Module) -> None:
    """Their gradients are sparse and large, so that their state keeps 32 bits (Dettmers et al. 2022)."""
    import bitsandbytes

    manager = bitsandbytes.optim.GlobalOptimManager.get_instance()
    for item in module.modules():
        if isinstance(item, nn.Embedding):
            manager.register_module_override(item, "weight", {"optim_bits": 32})


def _galore(asked: OptimizerParams, method: GaloreMethod, module: nn.Module) -> torch.optim.Optimizer:
    """AdamW that works on low-rank gradients of the linear layers whose names hold one of `method.target`."""
    from galore_torch import GaLoreAdamW
    from galore_torch.galore_projector import GaLoreProjector

    torch.serialization.add_safe_globals(
        [GaLoreProjector]
    )  # it is part of the state, and states are loaded without code
    targets = [
        item.weight
        for name, item in module.named_modules()
        if isinstance(item, nn.Linear) and any(part in name for part in method.target)
    ]
    if not targets:
        names = sorted(
            {name.rpartition(".")[2] for name, item in module.named_modules() if isinstance(item, nn.Linear)}
        )
        raise ValueError(
            f"no linear layer has a name with {' or '.join(method.target)} in it; `method.target` may name "
            f"{', '.join(names)}"
        )
    chosen = {id(value) for value in targets}
    others = [value for value in module.parameters() if value.requires_grad and id(value) not in chosen]
    projected = {"rank": method.rank, "update_proj_gap": method.update_every, "scale": method.scale, "proj_type": "std"}
    made: torch.optim.Optimizer = GaLoreAdamW(
        [{"params": others}, {"params": targets, **projected}],
        lr=asked.lr,
        betas=asked.betas,
        eps=1e-8,
        weight_decay=asked.weight_decay,
        no_deprecation_warning=True,
    )
    return made


def schedule(
    asked: OptimizerParams, optimizer: torch.optim.Optimizer, total: int
) -> torch.optim.lr_scheduler.LRScheduler:
    """The learning rate over `total` steps."""
    return torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: learning_rate(asked, step, total) / asked.lr)


def state_elements(optimizer: Any) -> int:
    """Elements of the optimizer's state, each counted once; step counts are left out."""
    found: dict[int, int] = {}
    for state in optimizer.state.values():
        for value in state.values():
            value = getattr(value, "ortho_matrix", value)
            for tensor in value if isinstance(value, list) else [value]:
                if isinstance(tensor, torch.Tensor) and tensor.dim() > 0:
                    found[tensor.data_ptr()] = tensor.numel()
    return sum(found.values())
