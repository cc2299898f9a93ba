"""What this machine needs at the end of a training of text, wherever its ranks run: the model is made and judged here."""

from __future__ import annotations

import os
import shutil

from mlctl.estimate import transfer
from mlctl.estimate.devices import DEVICE_VARIABLE, GIB, named, processors
from mlctl.estimate.setup import ADAPTERS, FP32, HALF, Setup
from mlctl.estimate.shapes import LanguageShape
from mlctl.provider import Context
from mlctl.providers.torch.devices import TrainingPlace
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types.estimate import Range
from mlctl.types.spoken import spoken_bytes

AWAY = ("kubernetes", "skypilot")  # executors that share no disk with this machine: what they made is sent here
_WORTH_SAYING = 4.0 * GIB  # what takes less has room
_RUNTIME = Range(0.5e9, 1.5e9, 3e9)  # the libraries, and the activations of a pass over a few rows


def finish_words(spec: TrainingSpec, setup: Setup, place: TrainingPlace, ctx: Context) -> tuple[list[str], list[str]]:
    """Notes on what making the model takes here, and warnings where this machine has less."""
    if not isinstance(setup.shape, LanguageShape):
        return [], []
    memory, disk = finish_memory(setup), _disk(spec, setup)
    short = [*_short_of_memory(memory, _memory_here(spec, place)), *_short_of_disk(disk, ctx)]
    if memory.mid < _WORTH_SAYING or (spec.executor.type not in AWAY and not short):
        return [], short
    needs = f"about {spoken_bytes(memory.mid)} of memory"
    if disk:
        needs += f" and {spoken_bytes(disk)} of disk"
    what = "the adapter is merged and judged" if setup.method in ADAPTERS else "the model is made and judged"
    return [f"at the end {what} on the machine that runs mlctl: {needs}"], short


def finish_memory(setup: Setup) -> Range:
    """Bytes of this machine for the model with what was learnt in it. One that was rounded for training is written out in 32 bits;
    so is, at the high end, one that rounding to 16 did harm."""
    count = setup.parameters
    if setup.quantization is not None:
        return Range(count * HALF, count * FP32, count * FP32 * 1.2) + _RUNTIME
    if setup.method in ADAPTERS:
        kept = (
            HALF if setup.precision != "fp32" else FP32
        )  # the base beside the adapter, for the loss that the merged one is held to
        return Range(count * HALF, count * kept, count * FP32) + _RUNTIME
    return Range(count * HALF, count * FP32, count * 2 * FP32) + _RUNTIME


def _disk(spec: TrainingSpec, setup: Setup) -> float:
    """Bytes that come here from elsewhere and are made of it; what a training of this machine has on its disk is told with its
    checkpoints."""
    return transfer.model_bytes(setup).mid if spec.executor.type in AWAY else 0.0


def _short_of_memory(needed: Range, there: float | None) -> list[str]:
    if there is None or needed.mid <= there:
        return []
    sure = "cannot be" if needed.low > there else "is not likely to be"
    return [
        f"the model {sure} made at the end: that takes about {spoken_bytes(needed.mid)} of memory on the machine that runs mlctl, "
        f"and this one has {spoken_bytes(there)}; run it on a larger one"
    ]


def _short_of_disk(needed: float, ctx: Context) -> list[str]:
    if not needed or os.environ.get(DEVICE_VARIABLE):
        return []
    try:
        free = float(shutil.disk_usage(ctx.root).free)
    except OSError:
        return []
    if needed <= free:
        return []
    return [
        f"its disk may fill up: the model that comes here takes {spoken_bytes(needed)}, and {spoken_bytes(free)} are free"
    ]


def _memory_here(spec: TrainingSpec, place: TrainingPlace) -> float | None:
    """Bytes of this machine, or of the one that is planned for; None of one that is named by its GPUs alone."""
    if spec.executor.type == "local" and place.device.host:
        return place.device.memory
    given = os.environ.get(DEVICE_VARIABLE)
    if not given:
        return processors().memory
    device = named(given)
    return device.memory if device is not None and device.host else None
