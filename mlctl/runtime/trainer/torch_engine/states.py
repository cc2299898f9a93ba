"""Checkpoints of a model whose parts lie on several ranks, in PyTorch's distributed format: any layout of DTensors can take one over."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from mlctl.runtime.trainer.torch_engine.optimizers import local

STATE_FILE = "state.pt"  # the state of a whole model


def of(module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any]:
    """This rank's part of what a training goes on from; its tensors are those in use."""
    from torch.distributed.checkpoint.state_dict import get_model_state_dict, get_optimizer_state_dict

    return {
        "model": get_model_state_dict(module),
        "optimizer": get_optimizer_state_dict(module, optimizer, options=_options()),
    }


def copied(state: dict[str, Any]) -> dict[str, Any]:
    """The same with tensors of its own, on the CPU."""
    return {
        part: {
            name: value.detach().to("cpu", copy=True) if isinstance(value, torch.Tensor) else value
            for name, value in values.items()
        }
        for part, values in state.items()
    }


def write(folder: Path, state: dict[str, Any], group: Any) -> None:
    """Write this rank's part. All ranks call it, and talk through the group."""
    import torch.distributed.checkpoint as dcp

    dcp.save(state, checkpoint_id=folder, process_group=group)


def load(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, names: Sequence[str] = ()) -> None:
    """Read what this rank holds, whoever wrote it: ranks with a part each, or one rank for all of them.

    `names` are those of the trained parameters of the whole model in order, by which the latter knows them; they are those of
    `module` where they are not given. All ranks call it.
    """
    if not (folder / ".metadata").exists():
        _load_whole(folder, module, optimizer, names)
        return
    import torch.distributed.checkpoint as dcp
    from torch.distributed.checkpoint.state_dict import set_model_state_dict, set_optimizer_state_dict

    state = of(module, optimizer)
    dcp.load(state, checkpoint_id=folder)
    set_model_state_dict(module, state["model"])
    set_optimizer_state_dict(module, optimizer, state["optimizer"], options=_options())


def _load_whole(folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, names: Sequence[str]) -> None:
    """Take this rank's parts out of the state of a whole model."""
    path = folder / STATE_FILE
    if not path.exists():
        raise ValueError(f"the checkpoint {folder.name} was saved by another engine, in a format of its own")
    stored = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    own = [name for name, parameter in module.named_parameters() if parameter.requires_grad]
    numbers = {name: number for number, name in enumerate(names or own)}  # of those that are trained
    with torch.no_grad():
        for name, buffer in module.named_buffers():
            if name in stored["model"]:
                buffer.copy_(stored["model"][name])
        for name, parameter in module.named_parameters():
            local(parameter).copy_(local(part_of(stored["model"][name], parameter)))
            kept = stored["optimizer"]["state"].get(numbers.get(name))
            if kept is not None:
                optimizer.state[parameter] = {
                    key: part_of(value, parameter).clone() if value.shape == parameter.shape else value.clone()
                    for key, value in kept.items()
                }


def part_of(value: torch.Tensor, like: torch.Tensor) -> torch.Tensor:
    """A whole tensor cut as another one is, on its device."""
    from torch.distributed.tensor import DTensor, distribute_tensor

    value = value.to(like.device, like.dtype)
    if not isinstance(like, DTensor):
        return value
    cut: torch.Tensor = distribute_tensor(value, like.device_mesh, like.placements, src_data_rank=None)
    return cut


def _options() -> Any:
    """State of the optimizer by the parameter's name: numbers of parameters mean something else on every pipeline stage."""
    from torch.distributed.checkpoint.state_dict import StateDictOptions

    return StateDictOptions(flatten_optimizer_state_dict=True)
