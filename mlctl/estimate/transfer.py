"""Bytes on disks and wires: what a checkpoint and a trained model weigh, what disk a training needs, and how long a copy takes.

A checkpoint holds what is learnt in 32 bits with the optimizer's state: 12 bytes a parameter under Adam. Of adapters it holds
them alone, not the base. One checkpoint more than are kept is there while the next is written, and the model at the end, which is
a whole one even of adapters.
"""

from __future__ import annotations

from mlctl.estimate.memory import low_rank
from mlctl.estimate.setup import ADAPTERS, FP32, HALF, ZERO, Setup
from mlctl.estimate.shapes import LanguageShape
from mlctl.types.estimate import NOTHING, Range

# Bytes a second. A disk over a network as clouds rent it by default writes 0.12 GB/s, an own solid-state disk 1 to 3.
DISK = Range(0.12e9, 0.5e9, 2.5e9)
# One machine to or from an object store or a hub: from a shared line to 10 Gbit/s.
NETWORK = Range(0.03e9, 0.2e9, 1.0e9)
_NAMES = 1.02  # headers and names in files, at most
_BESIDE = Range(0.02, 0.5, 5.0)  # seconds beside the writing: files are made durable, and the last rank is waited for


def weight_bytes(parameters: float, precision: str = "bf16") -> float:
    """A model's file of weights."""
    return parameters * (FP32 if precision == "fp32" else HALF)


def checkpoint_bytes(setup: Setup) -> Range:
    """One checkpoint, all ranks' parts together."""
    each = setup.state
    if setup.method == "galore" and isinstance(setup.shape, LanguageShape):  # moments of low rank
        found = setup.trained * FP32 + low_rank(setup, setup.shape)
        return Range(found * 0.9, found, found * _NAMES)
    weights = FP32
    if setup.strategy in ZERO and setup.precision != "fp32" and setup.method not in ADAPTERS:
        weights += HALF  # DeepSpeed writes what it computes with beside the masters
    exact = setup.trained * (weights + each)
    return Range(setup.trained * (HALF + each), exact, exact * _NAMES)


def model_bytes(setup: Setup) -> Range:
    """What is left of a training: the model's weights; of adapters they themselves and the base with them merged in, which is
    written as the base is, most often in 16 bits, and in 32 where rounding would do harm."""
    learnt = _learnt_bytes(setup)
    if setup.method not in ADAPTERS:
        return learnt
    count = setup.parameters
    return learnt + Range(count * HALF, weight_bytes(count), count * FP32 * _NAMES)


def _learnt_bytes(setup: Setup) -> Range:
    """What was learnt: all weights, or adapters alone."""
    count = setup.trained
    return Range(count * HALF, count * FP32, count * FP32 * _NAMES)


def disk_bytes(setup: Setup, keep: int, *, best: bool = False) -> Range:
    """The most that a training has on disk at once: the checkpoints it keeps, the one it writes, and the model; `best` for a
    copy of the best epoch's weights beside each checkpoint."""
    copies = checkpoint_bytes(setup) * (keep + 1)
    return copies + model_bytes(setup) + (_learnt_bytes(setup) * (keep + 1) if best else NOTHING)


def seconds(amount: Range, rate: Range) -> Range:
    """How long so many bytes take over a disk or a wire."""
    return Range(amount.low / rate.high, amount.mid / rate.mid, amount.high / rate.low)


def checkpoint_seconds(setup: Setup, rate: Range = DISK) -> Range:
    """How long a training stands still for one checkpoint."""
    return seconds(checkpoint_bytes(setup), rate) + _BESIDE
