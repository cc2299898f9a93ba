"""The memory of one rank: states of the model, activations, logits, and what the framework itself takes.

States after Rajbhandari et al. (2020), activations after Korthikanti et al. (2022) without the attention's scores, which no
kernel in use keeps; low-rank methods after Hu et al. (2021) and Dettmers et al. (2023). Every part is low, likely and high:
`low` is what the arithmetic cannot do without, so that nothing is refused which could fit, and `high` is what copies, buckets
and fragments may add.
"""

from __future__ import annotations

from mlctl.estimate.setup import ADAPTERS, FP32, HALF, ZERO, Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape
from mlctl.types.estimate import NOTHING, Range

_NF4 = 4.127 / 8  # bytes a weight, with the scales quantized too
_INT8 = 1.02
_BUCKET = 500_000_000  # elements of DeepSpeed's buckets at most
# Of one process before any weight: the interpreter with its libraries on a CPU, the context and workspaces on a GPU.
_RUNTIME = {
    "torch": Range(0.20e9, 0.35e9, 0.7e9),
    "language": Range(0.25e9, 0.5e9, 1.0e9),  # our own engine with Transformers' layers
    "hf": Range(0.5e9, 0.8e9, 1.7e9),
    "gpu": Range(0.3e9, 0.9e9, 2.0e9),
}
_PER_TOKEN = Range(0.55, 1.0, 1.8)  # how far activations stray from the formula: fused kernels, and copies by autocast
_PER_TOKEN_ADAPTERS = Range(0.55, 1.3, 2.4)  # inputs of adapters are kept once more, in 32 bits
_LOGITS_AT_ONCE = 2**25  # of our own engine
_LOGITS = Range(4.0, 8.0, 14.0)  # bytes a logit: it, its gradient, and copies in other precisions
# What an allocator wastes; on a CPU, temporaries of kernels and the arenas of several threads too.
_SPARE = {"gpu": Range(1.0, 1.0, 1.15), "host": Range(1.0, 1.3, 1.5)}


def parts(setup: Setup) -> dict[str, Range]:
    """Bytes of one rank by what they are for; of a pipeline, of the rank that holds most."""
    held = {
        "weights": _weights(setup),
        "gradients": _gradients(setup),
        "optimizer": _optimizer(setup),
        "gathered": _gathered(setup),
        "activations": _surely(setup, _activations(setup)),
        "logits": _surely(setup, _logits(setup)),
        "teacher": _teacher(setup),
        "data": Range(0.0, setup.table * 0.5, setup.table * 1.0),
    }
    spare = _SPARE["host" if setup.device.host else "gpu"]
    found = {name: value.times(spare) for name, value in held.items() if value.high > 0}
    return {**found, "runtime": _runtime(setup)}


def peak(setup: Setup) -> Range:
    """Bytes on one device at the peak; on a CPU, of all processes together."""
    found = Range.total(parts(setup).values())
    if setup.device.host and setup.strategy in ("fsdp", "tensor", "pipeline", "3d", "zero3"):
        whole = Range(
            0.0, FP32 * setup.parameters, 1.5 * FP32 * setup.parameters
        )  # each rank builds all of it before it is cut
        loading = whole + _runtime(setup)
        found = Range(max(found.low, loading.low), max(found.mid, loading.mid), max(found.high, loading.high))
    return found * setup.together


def _held(setup: Setup) -> float:
    """Parameters that a rank works with when nothing is sharded over data ranks: cut by tensor and pipeline."""
    shape = setup.shape
    if not isinstance(shape, LanguageShape):
        return float(shape.parameters)
    blocks = -(-shape.layers // setup.pipeline) / shape.layers
    tables = shape.tables + shape.head
    if setup.pipeline > 1:  # the token table is on the first stage and the head on the last, neither on both
        tables = max(shape.tables, shape.vocabulary * shape.hidden)
    cut = (shape.matrices * blocks + tables) / setup.tensor
    return cut + shape.layers * shape.small * blocks + shape.final


def _divided(setup: Setup) -> tuple[float, float, float]:
    """Over how many ranks weights, gradients and the optimizer's state are sharded."""
    count = float(setup.data)
    return {
        "zero1": (1.0, 1.0, count),
        "zero2": (1.0, count, count),
        "zero3": (count, count, count),
        "fsdp": (count, count, count),
        "3d": (count, count, count),
    }.get(setup.strategy, (1.0, 1.0, 1.0))


def _away(setup: Setup, what: str) -> bool:
    """Whether something is kept in the host's memory instead of the device's."""
    return what in setup.offload and not setup.device.host


def _weights(setup: Setup) -> Range:
    if _away(setup, "parameters"):
        return NOTHING
    weights, _, _ = _divided(setup)
    held = _held(setup)
    if setup.method in ADAPTERS:
        return _frozen(setup, held) * (1 / weights) + Range.exactly(setup.trained * FP32 / weights)
    if setup.strategy in ZERO and setup.precision != "fp32":
        return Range.exactly(held * HALF / weights)  # its masters are with the optimizer
    if setup.precision == "fp32":
        return Range.exactly(held * FP32 / weights)
    # autocast keeps what it converted until the end of a forward pass
    return Range(FP32, FP32 + HALF / 2, FP32 + HALF) * (held / weights)


def _frozen(setup: Setup, held: float) -> Range:
    """Weights that are only read: in 16 bits where those are computed with, or packed but for tables, head and norms."""
    if setup.quantization is None:
        return Range.exactly(held * setup.width)
    shape = setup.shape
    if not isinstance(shape, LanguageShape):
        return Range.exactly(held * FP32)
    packed, rest = shape.matrices, shape.parameters - shape.matrices
    size = _INT8 if setup.quantization == "int8" else _NF4
    # the rest is put into 32 bits when it is made ready for training; one matrix at a time is unpacked
    unpacked = max(item.elements for item in shape.linears) * FP32
    least = packed * size + rest * HALF
    return Range(least, packed * size + rest * FP32 + unpacked / 2, packed * size * 1.1 + rest * FP32 + 2 * unpacked)


def _learnt(setup: Setup) -> float:
    """Parameters of a rank that are learnt, before sharding over data ranks."""
    return float(setup.trained) if setup.method in ADAPTERS else _held(setup)


def _gradients(setup: Setup) -> Range:
    if _away(setup, "parameters") and setup.strategy == "fsdp":
        return NOTHING
    _, gradients, _ = _divided(setup)
    width = FP32
    if setup.strategy in ZERO and setup.precision != "fp32":
        width = HALF
    learnt = _learnt(setup)
    found = learnt * width / gradients
    if setup.strategy == "ddp":  # buckets for the exchange hold them once more
        return Range(found, found * 2, found * 2)
    if setup.strategy in ZERO:
        bucket = min(learnt, _BUCKET) * width
        if _away(setup, "optimizer") and setup.strategy != "zero1":  # they go with it, a bucket at a time
            return Range(0.0, bucket, found + 2 * bucket)
        part = learnt * FP32 / setup.data  # its own, in 32 bits for the update
        return Range(found, found + bucket + part, found + 2 * bucket + part)
    return Range.exactly(found)


def _optimizer(setup: Setup) -> Range:
    if _away(setup, "optimizer"):
        return NOTHING
    _, _, divided = _divided(setup)
    learnt = _learnt(setup)
    state = learnt * setup.state
    if setup.method == "galore" and isinstance(setup.shape, LanguageShape):
        state = low_rank(setup, setup.shape)
    if setup.strategy in ZERO and setup.precision != "fp32":
        state = state + learnt * FP32  # masters
    temporary = 0.0 if setup.device.host else learnt * FP32 / divided
    return Range(state / divided, state / divided, state / divided + temporary)


def low_rank(setup: Setup, shape: LanguageShape) -> float:
    """Bytes of state where matrices have gradients of low rank: both moments of them, and the projection."""
    total = 0.0
    for item in shape.linears:
        short, long = sorted((item.inputs, item.outputs))
        rank = min(setup.rank, short)
        total += shape.layers * (rank * long * setup.state + rank * short * FP32)
    return total + (shape.parameters - shape.matrices) * setup.state


def _gathered(setup: Setup) -> Range:
    """Weights of others that are put together for the moment: those of the root, and of two blocks."""
    weights, _, _ = _divided(setup)
    if weights == 1 or not isinstance(setup.shape, LanguageShape):
        return NOTHING
    shape, width = setup.shape, setup.width
    block = shape.block / setup.tensor * width
    root = (shape.tables + shape.head) * width
    whole = _held(setup) * width
    if setup.strategy == "zero3":
        most = max(3 * _BUCKET * width, root + 2 * block)  # what it gathers ahead, and keeps for the way back
        return Range(min(block, whole), min(root + 2 * block, whole), min(most, whole))
    return Range(min(block, whole), min(root + 2 * block, whole), min(2 * root + 4 * block, 2 * whole))


def token_layer(shape: LanguageShape, tensor: int = 1) -> float:
    """Values that one token leaves in one block for the backward pass; what is between the matrices is not cut by tensor ranks."""
    h = shape.hidden
    if shape.family in ("gpt2", "gpt_neox"):
        return (5 + 12 / tensor) * h
    return 4 * h + (2 * (shape.heads + 2 * shape.kv_heads) * shape.head_dim + 3 * shape.intermediate) / tensor


def _activations(setup: Setup) -> Range:
    shape = setup.shape
    if isinstance(shape, DenseShape):
        return _PER_TOKEN * (setup.tokens * shape.activations * FP32)
    layers = -(-shape.layers // setup.pipeline)
    tokens, width = float(setup.tokens), setup.width
    if setup.pipeline > 1:  # the first stage holds as many parts of a batch as there are stages, or as there are parts
        tokens *= min(setup.pipeline, setup.microbatches) / setup.microbatches
    stray = _PER_TOKEN_ADAPTERS if setup.method in ADAPTERS else _PER_TOKEN
    one = stray * (tokens * token_layer(shape, setup.tensor) * width)
    kept = Range.exactly(tokens * shape.hidden * width)  # the input of each block
    if setup.checkpointing:
        return one + kept * (0 if _away(setup, "activations") else layers)
    if _away(setup, "activations"):
        return one + kept
    return one * layers


def _surely(setup: Setup, found: Range) -> Range:
    """What grows with the tokens, where fewer of them than a batch may have would do."""
    return Range(found.low * setup.sure, found.mid, found.high)


def _logits(setup: Setup) -> Range:
    if not isinstance(setup.shape, LanguageShape):
        return NOTHING
    tokens = setup.tokens / (setup.microbatches if setup.pipeline > 1 else 1)
    count = tokens * setup.shape.vocabulary
    if setup.engine == "torch":  # only where a label counts, and a part at a time
        held = min(count, _LOGITS_AT_ONCE)
        return Range(0.0, _LOGITS.mid * held, _LOGITS.high * held)
    found = _LOGITS * count
    return found + found if setup.teacher is not None else found


def _teacher(setup: Setup) -> Range:
    """A model that is only asked: its weights, and one block's activations."""
    if setup.teacher is None:
        return NOTHING
    weights = Range(HALF, setup.width, FP32) * setup.teacher.parameters
    return weights + Range.exactly(setup.tokens * token_layer(setup.teacher) * setup.width)


def _runtime(setup: Setup) -> Range:
    if not setup.device.host:
        return _RUNTIME["gpu"]
    language = setup.engine == "torch" and isinstance(setup.shape, LanguageShape)
    return _RUNTIME["language" if language else setup.engine]
