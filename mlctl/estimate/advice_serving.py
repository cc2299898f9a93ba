"""Which of the ten ways a deployment could take, from its fields, the devices it runs on, and what was asked of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from mlctl.estimate.advice import (
    ACCUMULATION,
    ADAPTERS,
    BATCHING,
    CACHING,
    CHECKPOINTING,
    DISTILLATION,
    PRECISION,
    QUANTIZATION,
    SIZING,
    SPOT,
    Change,
    Fields,
    Idea,
    at,
    declined,
    in_use,
    ordered,
    proposed,
    unknown,
)
from mlctl.estimate.devices import Device

FP8_FROM = 8.9  # of CUDA: what computes in 8 bits
_ROWS_AT_ONCE = 32
_TTL = "10m"
_HALF = {"vllm": "bfloat16", "sglang": "bfloat16", "tgi": "bfloat16", "triton": "bfloat16"}


def ideas(fields: Fields, device: Device | None, students: Sequence[tuple[Change, ...]]) -> list[Idea]:
    """All ten. `device` is None where nothing is known of it; `students` are ways to serve a smaller model that learns from this one."""
    engine = str(at(fields, "serve.engine.type"))
    training = "it is of trainings"
    return ordered(
        [
            declined(SPOT, "a service has to be there, and spot devices are taken away"),
            _precision(fields, engine),
            declined(ACCUMULATION, training),
            declined(CHECKPOINTING, training),
            _quantization(fields, engine, device),
            declined(ADAPTERS, training),
            _distillation(engine, students),
            _batching(fields, engine),
            _caching(fields, engine),
            Idea(SIZING),
        ]
    )


def _precision(fields: Fields, engine: str) -> Idea:
    dtype = at(fields, "serve.engine.dtype")
    if engine not in _HALF:
        return declined(PRECISION, f"the engine `{engine}` computes as the model was saved")
    if dtype != "float32":
        return in_use(PRECISION, f"`dtype: {dtype}`" + (", as the weights are stored" if dtype == "auto" else ""))
    return proposed(PRECISION, {"serve.engine.dtype": _HALF[engine]})


def _quantization(fields: Fields, engine: str, device: Device | None) -> Idea:
    if engine not in _HALF:
        return declined(QUANTIZATION, f"the engine `{engine}` serves the weights of its file as they are")
    kept = at(fields, "serve.engine.quantization")
    if kept is not None:
        return in_use(QUANTIZATION, f"`quantization: {kept}`")
    if device is None:
        return unknown(QUANTIZATION, "which devices it runs on is not known")
    if device.host:
        return declined(QUANTIZATION, "on a processor the engine keeps weights as they are")
    kinds = ["fp8"] if (device.capability or 0) >= FP8_FROM else []
    ways = proposed(QUANTIZATION, *({"serve.engine.quantization": kind} for kind in (*kinds, "bitsandbytes")))
    # 4 bits take less, but nothing computes in them: the engine unpacks them anew at every step, and more is lost of quality
    return replace(ways, fallbacks=True)


def _distillation(engine: str, students: Sequence[tuple[Change, ...]]) -> Idea:
    if engine in ("torch", "command"):
        return declined(DISTILLATION, "a student learns the token probabilities of a language model")
    if not students:
        return declined(
            DISTILLATION, "no smaller language model of the same words is trained and registered in this project"
        )
    return Idea(DISTILLATION, tuple(students))


def _batching(fields: Fields, engine: str) -> Idea:
    if engine == "torch":
        most = at(fields, "serve.batching.max_size")
        if most > 1:
            return in_use(BATCHING, f"up to {most} rows that are queued go through the model at once")
        return proposed(BATCHING, {"serve.batching.max_size": _ROWS_AT_ONCE})
    running = at(fields, "serve.engine.max_running")
    if running == 1:
        return proposed(BATCHING, {"serve.engine.max_running": 8}, {"serve.engine.max_running": _ROWS_AT_ONCE})
    if engine == "command":
        return unknown(BATCHING, "how the program batches is its own affair")
    return in_use(BATCHING, "the engine takes requests into the running batch as they come")


def _caching(fields: Fields, engine: str) -> Idea:
    if at(fields, "serve.cache") is not None:
        return in_use(CACHING, "`serve.cache`")
    return proposed(CACHING, {"serve.cache": {"ttl": _TTL}})
