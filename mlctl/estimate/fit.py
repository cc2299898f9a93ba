"""Whether a training fits its device, what would make it fit, and which strategy to choose where the choice is left to mlctl."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from enum import StrEnum
from typing import NamedTuple

from mlctl.estimate import memory
from mlctl.estimate.setup import ZERO, Setup
from mlctl.estimate.shapes import LanguageShape
from mlctl.types.estimate import Range
from mlctl.types.spoken import spoken_bytes

_HELPS = 0.98  # a change that leaves more than this share is none
_MOST_LEVERS = 6
_SHORT = 256  # tokens of a row, under which nothing is proposed
_MOST_DOUBLINGS = 6  # of the devices
USABLE = 0.92  # of a device's memory: the rest is for what else is on it


class Fit(StrEnum):
    """How sure it is that something fits."""

    FITS = "fits"
    MAY = "may not fit"  # the likely or the high figure is beyond the device
    NEVER = "does not fit"  # the low one is


def verdict(needed: Range, capacity: float) -> Fit:
    """Hold a need against what a device has. What is refused could not run; what is said to fit has room to spare."""
    if needed.low > capacity:
        return Fit.NEVER
    return Fit.FITS if needed.high <= capacity * USABLE else Fit.MAY


class Lever(NamedTuple):
    """One thing to change, as it is written in a project, and what the device would hold then."""

    change: str
    setup: Setup
    needed: Range
    fit: Fit


def levers(setup: Setup) -> list[Lever]:
    """What would bring memory down, biggest first; what does not help is not named."""
    before = memory.peak(setup)
    found = []
    for change, other in _others(setup):
        needed = memory.peak(other)
        if needed.mid < before.mid * _HELPS:
            found.append(Lever(change, other, needed, verdict(needed, other.device.memory)))
    return sorted(found, key=lambda item: item.needed.mid)


def together(setup: Setup) -> list[Lever]:
    """One lever after another, each the biggest of those that are left, until it fits; the whole way where it never does."""
    taken: list[Lever] = []
    while (found := levers(taken[-1].setup if taken else setup)) and len(taken) < _MOST_LEVERS:
        taken.append(found[0])
        if found[0].fit is Fit.FITS:
            break
    last = {_field(item): item for item in taken}  # of two lengths of rows the second one counts
    return [item for item in taken if last[_field(item)] is item]


def _field(lever: Lever) -> str:
    """What a lever changes; of blocks with several fields, all of it."""
    path, _, value = lever.change.partition(": ")
    return lever.change if value.startswith("{") else path


def _others(setup: Setup) -> Iterator[tuple[str, Setup]]:
    """The same training with one thing changed."""
    language = isinstance(setup.shape, LanguageShape)
    if setup.rows > 1 and setup.pipeline == 1:
        yield "micro_batch_size: 1", replace(setup, micro=1)
    if language and setup.length > _SHORT:
        shorter = _shorter(setup)
        yield f"data.max_length: {shorter.length}", shorter
    if language and not setup.checkpointing:
        yield "memory: {gradient_checkpointing: true}", replace(setup, checkpointing=True)
    if setup.precision == "fp32" and language:
        half = "bf16" if setup.device.fast_half or setup.device.host else "fp16"
        yield f"precision: {half}", replace(setup, precision=half)
    alone = setup.strategy in ("single", "ddp")
    if setup.optimizer == "adamw" and setup.method == "full" and alone:  # whose state is of whole weights
        yield "optimizer: {type: adafactor}", replace(setup, optimizer="adafactor")
    if language and setup.method in ("full", "galore"):
        yield "method: {type: lora}", _adapted(setup, "lora")
    if language and setup.method in ("full", "galore", "lora", "dora"):
        yield "method: {type: qlora}", replace(_adapted(setup, "qlora"), quantization="nf4")
    if alone and setup.device.count > 1 and not setup.device.host:
        yield from _shared(setup)
    if language and not alone and not setup.device.host:
        yield from _offloaded(setup)
    if setup.device.host and setup.processes > 1:
        plain = replace(setup, strategy="single", data=1, tensor=1, pipeline=1, microbatches=1)
        yield "strategy: single", plain


def _shorter(setup: Setup) -> Setup:
    """Rows of half the length, or cut in half as often as it takes to fit where that would do."""
    half = shorter = replace(setup, length=setup.length // 2)
    while shorter.length > _SHORT and memory.peak(shorter).mid > setup.device.memory:
        shorter = replace(shorter, length=shorter.length // 2)
    return shorter if memory.peak(shorter).mid <= setup.device.memory else half


def _offloaded(setup: Setup) -> Iterator[tuple[str, Setup]]:
    """What is shared by all devices, kept in the memory of their machines and fetched for each layer: slower by the links."""
    if setup.strategy in ("zero1", "zero2", "zero3") and "optimizer" not in setup.offload:
        held = (*setup.offload, "optimizer")
        yield f"memory: {{offload: [{', '.join(held)}]}}", replace(setup, offload=held)
    if setup.strategy in ("zero3", "fsdp") and "parameters" not in setup.offload:
        held = (*(item for item in setup.offload if item != "optimizer"), "optimizer", "parameters")
        yield f"memory: {{offload: [{', '.join(held)}]}}", replace(setup, offload=held)


def wider(setup: Setup) -> Lever | None:
    """The fewest devices, in whole doublings, over which what they share would fit; None where more of them do not help."""
    if setup.strategy not in ("zero3", "fsdp") or setup.device.host:
        return None
    found = setup
    for _ in range(_MOST_DOUBLINGS):
        if found.data * 2 > setup.batch:
            return None
        device = replace(setup.device, count=found.device.count * 2)
        found = replace(found, data=found.data * 2, device=device, hosts=max(1, device.machines))
        needed = memory.peak(found)
        if needed.mid <= device.memory:
            change = f"strategy: {{type: {setup.strategy}, processes: {found.data}}}"
            return Lever(change, found, needed, verdict(needed, device.memory))
    return None


def _shared(setup: Setup) -> Iterator[tuple[str, Setup]]:
    """All states shared by all devices, where the rest of the training goes with that."""
    count, whole = setup.device.count, setup.optimizer in ("adamw_8bit", "adafactor")
    if setup.method != "full" or whole or setup.batch < count:
        return
    if setup.engine == "torch":
        yield f"strategy: {{type: fsdp, processes: {count}}}", replace(setup, strategy="fsdp", data=count)
    elif isinstance(setup.shape, LanguageShape) and setup.teacher is None and not setup.compiled:
        yield f"strategy: {{type: zero3, processes: {count}}}", replace(setup, strategy="zero3", data=count)


def _adapted(setup: Setup, method: str) -> Setup:
    """The same with adapters, by a strategy that does not cut the model."""
    kept = ("single", "ddp") if method == "qlora" else ("single", "ddp", *ZERO)
    found = replace(setup, method=method, target=None, engine="hf")
    if setup.strategy in kept:
        return found
    return replace(found, strategy="ddp" if setup.data > 1 else "single", tensor=1, pipeline=1, microbatches=1)


def pieces(setup: Setup) -> str:
    """What the memory is made of, in words, the largest first."""
    found = sorted(memory.parts(setup).items(), key=lambda item: -item[1].low)
    shown = [f"{name} {spoken_bytes(value.low)}" for name, value in found if value.low >= 2**20]
    return ", ".join(shown)
