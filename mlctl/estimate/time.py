"""How long a training takes: operations over what the devices do of them a second, and what each step costs beside.

Operations of a token after Kaplan et al. (2020): 2 for each weight forward and 4 backward, of which frozen weights need 2 less,
and 2 more where activations are computed again; attention adds 2 for each pair of tokens and dimension. The share of a device's
peak that a training gets (model FLOPs utilisation) is given as a range, from published runs.
"""

from __future__ import annotations

from typing import NamedTuple

from mlctl.estimate import links
from mlctl.estimate.devices import Device
from mlctl.estimate.setup import ADAPTERS, ZERO, Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape
from mlctl.types.estimate import Range

MOST = 0.70  # of the peak: no training is known to get more, so that a measured share above it is a mistake
# The share of the peak of one GPU's sheet, of operations that are really done (those that are done again count), on rows that
# are packed, by generation of device. A100: fine-tuning of a 3B model at 0.46, compiled 0.58 (torchtune, README), Llama 2 at 0.40
# to 0.44 over 1,024 devices, 7B tuned at 0.57 (PyTorch, 2024). H100: 8B at 0.34, compiled 0.39 (torchtitan), fleets with all of
# their restarts at 0.25 to 0.43. An MI300X gets half of its sheet in plain products of matrices, where an H100 gets 0.8 of it.
_FULL = {
    "ampere": Range(0.30, 0.46, 0.60),
    "hopper": Range(0.25, 0.38, 0.48),
    "cdna": Range(0.15, 0.25, 0.33),
    "other": Range(0.25, 0.42, 0.60),
}
_AMPERE, _HOPPER, _DESKTOP = 8.0, 9.0, 12.0  # of CUDA: A100, H100 to B300, and what comes after them for desks
# In 32 bits products take so long that a step is little else. Plain ones get 0.7 to 0.95 of that sheet; of trainings nothing is
# published, so that it is wide.
_SINGLE = Range(0.30, 0.55, MOST)
_ADAPTERS = Range(0.75, 0.87, 0.95)  # of that: small matrices beside the large (LoRA of the same 3B model)
_COMPILED = Range(1.0, 1.22, 1.3)  # times faster by torch.compile: 1.16 (torchtitan) to 1.27 (torchtune)
_UNPACKED = 0.4  # rows that are filled up, and short
_HOST = Range(0.4, 1.0, 1.0)  # of what a core was seen to do
# Seconds that each step costs beside its arithmetic: calls of kernels, messages between ranks, Python.
_STEP = {
    "host": {"torch": Range(0.0004, 0.003, 0.03), "hf": Range(0.004, 0.04, 0.3)},
    "gpu": {"torch": Range(0.0005, 0.004, 0.03), "hf": Range(0.005, 0.04, 0.2)},
}
_LAYER = {"host": Range(0.0003, 0.003, 0.03), "gpu": Range(0.0002, 0.0008, 0.003)}  # for each block of a language model
_MESSAGES = {
    "ddp": 1.5,
    "zero1": 2.0,
    "zero2": 2.0,
    "zero3": 3.0,
    "fsdp": 3.0,
    "tensor": 3.0,
    "pipeline": 3.0,
    "3d": 4.5,
}
_START = {"torch": Range(2.0, 6.0, 25.0), "hf": Range(6.0, 15.0, 60.0)}  # imports, processes, loading, the first step
_BUILD = Range(1.0, 15.0, 150.0)  # DeepSpeed compiles what it needs, once for each machine
# What sharing costs of the arithmetic itself, by smaller matrices and waiting for the slowest, beside what links take. By a model of 8B on
# H200: all weights shared over two and four 0.89 and 0.93 of one device's rate, tensors cut in two and four 0.63 and 0.60 with what
# their links take (KempnerForge, 2026). A pipeline has its bubble beside.
_SHARDED = {
    "single": 1.0,
    "ddp": 0.97,
    "zero1": 0.95,
    "zero2": 0.92,
    "fsdp": 0.95,
    "zero3": 0.92,
    "tensor": 0.75,
    "pipeline": 0.9,
    "3d": 0.7,
}


class Work(NamedTuple):
    """How much is to be done: rows or tokens in all, in so many steps; `validated` are only foretold."""

    amount: Range
    steps: float
    packed: bool = True
    validated: float = 0.0  # as a share of `amount`


def operations(setup: Setup) -> float:
    """Floating-point operations that one token, or one row of a table, takes: forward, backward, and again."""
    passes = 4 if setup.method in ADAPTERS else 6
    passes += 2 if setup.checkpointing else 0
    shape = setup.shape
    if isinstance(shape, DenseShape):
        return float(passes * shape.parameters)
    own = _token(shape, setup.length, passes)
    return own if setup.teacher is None else own + _token(setup.teacher, setup.length, 2)


def _token(shape: LanguageShape, length: int, passes: int) -> float:
    return passes * (shape.multiplied + 2 * shape.layers * shape.heads * shape.head_dim * length)


def utilisation(setup: Setup, *, packed: bool = True) -> Range:
    """The share of its peak that the device does for the model."""
    if setup.device.host:
        return _HOST
    whole = setup.device.speed(setup.precision, 1).high < setup.device.peak
    found = _SINGLE if whole else _FULL[_generation(setup.device)]
    if setup.method in ADAPTERS:
        found = found.times(_ADAPTERS)
    if setup.compiled:
        found = found.times(_COMPILED)
    found = found if packed else found * _UNPACKED
    shared, busy = _SHARDED[setup.strategy], 1.0
    if setup.pipeline > 1:  # while it fills and empties, stages wait
        busy = setup.microbatches / (setup.microbatches + setup.pipeline - 1)
        shared *= busy
    return Range(found.low * shared, found.mid * shared, min(found.high, MOST) * busy)


def _generation(device: Device) -> str:
    """Which published shares hold for a device: by CUDA's name for what it can compute, or by its maker."""
    if device.maker == "amd":
        return "cdna"
    if device.capability == _AMPERE:
        return "ampere"
    return "hopper" if device.capability is not None and _HOPPER <= device.capability < _DESKTOP else "other"


def seconds(setup: Setup, work: Work) -> Range:
    """From the first step to the last; what comes before is `start`."""
    compute, exchanged = _compute(setup, work), _exchanged(setup, work)
    busy = compute if exchanged is links.ALONE else exchanged.over(compute)
    return busy + _between(setup, work)


def reason(setup: Setup, work: Work) -> str:
    """A word where it is not the arithmetic that takes the time but the links between devices; else empty."""
    exchanged = _exchanged(setup, work)
    if exchanged is links.ALONE:
        return ""
    compute = _compute(setup, work)
    busy = exchanged.over(compute)
    return links.decides(setup, exchanged, busy.mid - compute.mid, busy.mid + _between(setup, work).mid)


def _compute(setup: Setup, work: Work) -> Range:
    """What the arithmetic takes."""
    each = operations(setup) * (1 + work.validated / 3)  # without the backward pass
    speed = setup.device.speed(setup.precision, setup.processes)
    share = utilisation(setup, packed=work.packed)
    slowest, likely, fastest = speed.low * share.low, speed.mid * share.mid, speed.high * share.high
    amount = work.amount
    return Range(amount.low * each / fastest, amount.mid * each / likely, amount.high * each / slowest)


def _exchanged(setup: Setup, work: Work) -> links.Exchange:
    again = 1 + work.validated / 3  # without the backward pass
    return links.exchange(setup, work.amount * again if work.validated else work.amount, work.steps * again)


def start(setup: Setup) -> Range:
    """Before the first step: imports, processes, loading, compiling."""
    found = _START[setup.engine]
    if setup.processes > 1 and setup.device.host:
        found = found * max(1.0, setup.processes / setup.device.count)
    return found + _BUILD if setup.strategy in ZERO else found


def _between(setup: Setup, work: Work) -> Range:
    """What the steps cost beside their arithmetic."""
    kind = "host" if setup.device.host else "gpu"
    one, layer = _STEP[kind][setup.engine], _LAYER[kind]
    blocks = 0
    if isinstance(setup.shape, LanguageShape):
        blocks = setup.shape.layers * (2 if setup.checkpointing else 1)
    crowd = max(1.0, setup.processes / setup.device.count) if setup.device.host else 1.0
    times = work.steps * setup.micro_batches * crowd * (1 + work.validated / 3) * _MESSAGES.get(setup.strategy, 1.0)
    low, mid, high = one.low + layer.low * blocks, one.mid + layer.mid * blocks, one.high + layer.high * blocks
    return Range(low * times, mid * times, high * times)


def plausible(setup: Setup, tokens_per_second: float) -> bool:
    """Whether a measured rate does not ask more of the devices than any training ever got of them."""
    if setup.device.host:
        return tokens_per_second > 0
    peak = (
        setup.device.peak * setup.processes
    )  # 32 bits too may be multiplied by tensor cores, where somebody has said so
    return 0 < tokens_per_second * operations(setup) <= MOST * peak if peak else tokens_per_second > 0
