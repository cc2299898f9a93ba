"""Which of the ten ways a training could take, from its fields and the devices it runs on."""

from __future__ import annotations

from typing import Any

from mlctl.estimate.advice import (
    ACCUMULATION,
    ADAPTERS,
    BATCHING,
    CACHING,
    CHECKPOINTING,
    DISTILLATION,
    PRECISION,
    QUANTIZATION,
    REMOVE,
    SIZING,
    SPOT,
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
from mlctl.estimate.nodes import own_cluster
from mlctl.estimate.spot import save_every

_CUT = ("fsdp", "tensor", "pipeline", "3d")  # strategies that share whole weights, which adapters do not go with
_RANK = 16


def ideas(fields: Fields, device: Device, save_seconds: float | None) -> list[Idea]:
    """All ten. `save_seconds` are those between checkpoints that lose least on spot devices; None where nothing is known of it."""
    language = at(fields, "model.type") == "causal_lm"
    return ordered(
        [
            _spot(fields, save_seconds),
            _precision(fields, device),
            _accumulation(fields, device),
            _checkpointing(fields),
            _quantization(fields),
            _adapters(fields, language=language),
            _distillation(fields, language=language),
            declined(BATCHING, "it answers no requests"),
            declined(CACHING, "it answers no requests"),
            Idea(SIZING),
        ]
    )


def _spot(fields: Fields, seconds: float | None) -> Idea:
    kind, infra = at(fields, "executor.type"), str(at(fields, "executor.infra") or "")
    if kind != "skypilot" or own_cluster(infra):
        whose = "this machine is" if kind == "local" else "its machines are"
        return declined(SPOT, f"{whose} not rented by mlctl")
    if at(fields, "executor.spot"):
        return in_use(SPOT, f"`executor.spot`, with a checkpoint every {at(fields, 'checkpoint.every')}")
    variant: dict[str, Any] = {"executor.spot": True}
    every = None if seconds is None else save_every(str(at(fields, "checkpoint.every")), seconds)
    if every is not None:
        variant["checkpoint.every"] = every
    return proposed(SPOT, variant)


def _precision(fields: Fields, device: Device) -> Idea:
    precision = at(fields, "precision")
    if precision != "fp32":
        return in_use(PRECISION, f"`precision: {precision}`")
    if not device.memory:
        return unknown(PRECISION, "which 16 bits its devices compute is not known: nobody says which they are")
    if device.host and not device.fast_half:
        return declined(PRECISION, "this processor computes 16 bits no faster than 32")
    return proposed(PRECISION, {"precision": "bf16" if device.host or device.fast_half else "fp16"})


def _accumulation(fields: Fields, device: Device) -> Idea:
    if at(fields, "strategy.type") == "pipeline" or (at(fields, "strategy.pipeline") or 1) > 1:
        return in_use(ACCUMULATION, "a pipeline goes through a batch in parts")
    own = max(1, int(fields["batch_size"]) // _sharers(fields, device))
    now = at(fields, "micro_batch_size") or own
    if now <= 1:
        return in_use(ACCUMULATION, "a process works on one row at once")
    parts = dict.fromkeys(max(1, now // by) for by in (2, 4, now))
    return proposed(ACCUMULATION, *({"micro_batch_size": part} for part in parts))


def _sharers(fields: Fields, device: Device) -> int:
    """Processes that each work on rows of their own."""
    kind = at(fields, "strategy.type")
    if kind == "3d":
        return int(at(fields, "strategy.data"))
    if kind == "auto":
        return int(at(fields, "strategy.processes") or (1 if device.host else device.count))
    return int(at(fields, "strategy.processes") or 1) if kind not in ("single", "tensor") else 1


def _checkpointing(fields: Fields) -> Idea:
    if at(fields, "memory.gradient_checkpointing"):
        return in_use(CHECKPOINTING, "`memory.gradient_checkpointing`")
    if at(fields, "model.type") == "mlp":
        return declined(CHECKPOINTING, "a perceptron keeps one row of numbers for each layer")
    return proposed(CHECKPOINTING, {"memory.gradient_checkpointing": True})


def _quantization(fields: Fields) -> Idea:
    method, optimizer = at(fields, "method.type"), at(fields, "optimizer.type")
    if method == "qlora":
        return in_use(QUANTIZATION, f"the frozen weights are kept as {at(fields, 'method.quantization')}")
    if optimizer == "adamw_8bit":
        return in_use(QUANTIZATION, "the optimizer's state is kept in 8 bits")
    if optimizer != "adamw":
        return declined(QUANTIZATION, f"`{optimizer}` keeps little or nothing for each weight")
    if method == "galore":
        return declined(QUANTIZATION, "galore keeps a state of low rank already")
    variant: dict[str, Any] = {"optimizer.type": "adamw_8bit"}
    if at(fields, "optimizer.fused"):
        variant["optimizer.fused"] = REMOVE
    return proposed(QUANTIZATION, variant)


def _adapters(fields: Fields, *, language: bool) -> Idea:
    method, strategy = at(fields, "method.type"), at(fields, "strategy.type")
    if not language:
        return declined(ADAPTERS, "adapters are trained beside a language model")
    if method == "qlora":
        return in_use(ADAPTERS, f"`method: {method}`")
    beside: dict[str, Any] = {}
    if strategy in _CUT:
        beside["strategy"] = {"type": "ddp", "processes": _processes(fields)}
    if at(fields, "engine") == "torch":
        beside["engine"] = REMOVE
    lora = {"type": "lora", "r": _RANK}
    # weights of 4 bits cannot be cut over processes
    packed = beside | ({"strategy": {"type": "ddp", "processes": _processes(fields)}} if strategy == "zero3" else {})
    if method in ("lora", "dora"):
        return proposed(ADAPTERS, {"method.type": "qlora", **packed})
    return proposed(ADAPTERS, {"method": lora, **beside}, {"method": {**lora, "type": "qlora"}, **packed})


def _processes(fields: Fields) -> int:
    parts = [at(fields, f"strategy.{name}") or 1 for name in ("processes", "stages", "data", "tensor", "pipeline")]
    count = 1
    for part in parts:
        count *= int(part)
    return count


def _distillation(fields: Fields, *, language: bool) -> Idea:
    if at(fields, "distill") is not None:
        return in_use(DISTILLATION, f"it learns from {at(fields, 'distill.teacher')}")
    if not language:
        return declined(DISTILLATION, "a student learns the token probabilities of a language model")
    return declined(DISTILLATION, "it saves where a model is served: see the deployment that serves this one")
