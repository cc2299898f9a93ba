"""Whether an engine can run on this machine: what it needs that is not here, and fields that have no effect on what is here."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from mlctl.providers.serving.spec.engines import (
    CommandEngine,
    LlmEngine,
    SglangEngine,
    TensorRtLlmEngine,
    TgiEngine,
    TritonEngine,
    VllmEngine,
    XllamacppEngine,
)
from mlctl.types.diagnostic import Diagnostic, MlctlError, Severity
from mlctl.types.environments import environment_python, environment_ready, has_gpu

_OF_GPUS = (
    "fp8",
    "bitsandbytes",
    "modelopt",
    "awq_marlin",
    "gptq_marlin",
)  # quantizations of vLLM that no processor has


@dataclass(frozen=True, slots=True)
class Machine:
    """What engines compute with."""

    gpus: int = 0


@cache
def this_machine() -> Machine:
    """Asks the driver's own tool, when there is a driver."""
    if not has_gpu():
        return Machine()
    from mlctl.estimate.devices import here

    found = here({})
    return Machine(0 if found.host else found.count)


def planned_machine() -> Machine:
    """The machine that a plan is for: the one that the environment names, or this one."""
    from mlctl.estimate.devices import DEVICE_VARIABLE, named

    found = named(os.environ.get(DEVICE_VARIABLE, ""))
    if found is None:
        return this_machine()
    return Machine(0 if found.host else found.count)


def interpreter(engine: LlmEngine) -> Path | None:
    """The Python that an engine runs in, for those that run in one."""
    named = getattr(engine, "python", None)
    if named is not None:
        return Path(named) if os.sep in named else Path(shutil.which(named) or named)
    if isinstance(engine, VllmEngine | XllamacppEngine):
        return environment_python(engine.type)
    return None


def obstacles(engine: LlmEngine, machine: Machine) -> Iterator[Diagnostic]:
    """What keeps an engine from running here. A plan warns of it, since it may be made elsewhere; an apply refuses."""
    yield from _not_installed(engine)
    parallel = getattr(engine, "tensor_parallel", 1)
    if isinstance(engine, SglangEngine | TgiEngine | TensorRtLlmEngine | TritonEngine) and machine.gpus == 0:
        yield _obstacle(
            "deploy.no-gpu",
            f"`{engine.type}` needs a GPU, and this machine has none",
            "no driver was found",
            "set `engine: vllm`, which also runs on processors, or apply where there is a GPU",
            "type",
        )
    elif parallel > max(machine.gpus, 1):
        yield _obstacle(
            "deploy.no-gpu",
            f"`tensor_parallel: {parallel}` wants as many GPUs, and this machine has {machine.gpus or 'none'}",
            "each has a part of every layer",
            "lower it, or apply where there are more",
            "tensor_parallel",
        )
    if isinstance(engine, VllmEngine):
        yield from _of_vllm(engine, machine)


def refuse(engine: LlmEngine, machine: Machine, address: str) -> None:
    """Raise MlctlError for an engine that cannot run here."""
    found = list(obstacles(engine, machine))
    if found:
        first = found[0]
        raise MlctlError.of(first.code, first.summary, first.why, first.fix, address=address)


def _not_installed(engine: LlmEngine) -> Iterator[Diagnostic]:
    if isinstance(engine, VllmEngine | XllamacppEngine) and engine.python is None:
        if not environment_ready(engine.type):
            yield _obstacle(
                "deploy.engine-missing",
                f"the engine `{engine.type}` is not installed",
                "it lives in an environment of its own, so that it cannot break what trains and plans",
                f"run `mlctl engine install {engine.type}`, or name an interpreter that has it by `engine.python`",
                "type",
            )
        return
    field, program = next(
        ((name, str(getattr(engine, name))) for name in ("python", "launcher", "program") if hasattr(engine, name)),
        ("", ""),
    )
    if isinstance(engine, CommandEngine):
        field, program = "command", engine.command[0]
    if program and shutil.which(program) is None:
        yield _obstacle(
            "deploy.engine-missing",
            f"there is no program `{program}`",
            f"the engine `{engine.type}` is started by it",
            "install it, or give the path of one that is there",
            field,
        )


def _of_vllm(engine: VllmEngine, machine: Machine) -> Iterator[Diagnostic]:
    if machine.gpus and engine.threads is not None:
        yield _no_effect("threads", "vLLM computes on the GPU of this machine")
    if not machine.gpus and engine.gpu_memory is not None:
        yield _no_effect("gpu_memory", "this machine has no GPU; memory for requests is set by `kv_cache_gb`")
    if not machine.gpus and engine.quantization in _OF_GPUS:
        yield _obstacle(
            "deploy.no-gpu",
            f"`quantization: {engine.quantization}` needs a GPU, and this machine has none",
            "vLLM computes it by kernels that processors do not have",
            "remove it, or take `awq`, `gptq` or `compressed-tensors` weights",
            "quantization",
        )


def _no_effect(field: str, why: str) -> Diagnostic:
    return _obstacle("deploy.no-effect", f"`{field}` has no effect here", why, "remove it", field)


def _obstacle(code: str, summary: str, why: str, fix: str, field: str) -> Diagnostic:
    path: tuple[Any, ...] = ("serve", "engine", field) if field else ("serve", "engine")
    return Diagnostic(code, summary, why, fix, Severity.WARNING, path=path)
