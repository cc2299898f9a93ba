"""The weights that a training ends with: one safetensors file in a folder that is written beside and swapped in."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file, save_file

from mlctl.files import atomic
from mlctl.runtime.trainer.engine import WEIGHTS, WEIGHTS_FILE
from mlctl.runtime.trainer.plan import ENDED_FILE
from mlctl.types.diagnostic import MlctlError


def write_weights(folder: Path, state: Mapping[str, torch.Tensor]) -> None:
    """Replace the folder by one that holds these tensors. Names that share one tensor (tied weights) hold it once, by the first."""
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    beside.mkdir(parents=True)
    first: dict[tuple[object, ...], str] = {}
    tensors, same = {}, {}
    for name, value in state.items():
        tensor = value.detach()
        place = (tensor.untyped_storage().data_ptr(), tensor.storage_offset(), tensor.shape, tensor.stride())
        if tensor.numel() and place in first:
            same[name] = first[place]
        else:
            first[place] = name
            tensors[name] = tensor.cpu().contiguous()
    path = beside / WEIGHTS_FILE
    save_file(tensors, path, metadata={**same, "format": "pt"})
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
    swap_in(beside, folder)


def swap_in(beside: Path, folder: Path) -> None:
    """Put a folder in the place of another, whole. A kill in between leaves none, and the weights are written again."""
    atomic.sync_folder(beside)
    if folder.exists():
        old = folder.with_name(f".{folder.name}.old")
        shutil.rmtree(old, ignore_errors=True)
        os.replace(folder, old)
        os.replace(beside, folder)
        shutil.rmtree(old)
    else:
        os.replace(beside, folder)
    atomic.sync_folder(folder.parent)


def read_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The tensors in the folder by all of their names. Raises OSError, or safetensors' error for a damaged file."""
    path = folder / WEIGHTS_FILE
    state: dict[str, torch.Tensor] = load_file(path)
    with safe_open(path, "pt") as stored:
        same = {name: first for name, first in (stored.metadata() or {}).items() if name != "format"}
    return {**state, **{name: state[first] for name, first in same.items()}}


def trained_weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights that the ranks left in a job's folder. Raises MlctlError when they are not there: the ranks are then run again."""
    try:
        return read_weights(folder / WEIGHTS)
    except (OSError, SafetensorError):
        raise weights_gone(folder) from None


def weights_gone(folder: Path) -> MlctlError:
    """What is raised when the weights that the ranks left cannot be read: it lets the ranks run again."""
    (folder / ENDED_FILE).unlink(missing_ok=True)
    return MlctlError.of(
        "training.weights-gone",
        "the trained weights are gone or damaged",
        "the model is made from them",
        "run `mlctl apply` again: they are taken from the last checkpoint",
    )
