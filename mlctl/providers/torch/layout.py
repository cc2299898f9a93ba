"""Which engine trains a model, and how it is spread over processes."""

from __future__ import annotations

from mlctl.provider import Context
from mlctl.providers.torch.spec import CausalLm, Full, TrainingSpec
from mlctl.providers.torch.strategies import Auto, DataParallel, PipelineParallel, TensorParallel, ThreeD
from mlctl.types.jobs.recipe import EngineName, Layout

# What only the engine of our own can do, and what only Transformers' Trainer can.
TORCH_ONLY = ("fsdp", "tensor", "pipeline", "3d")


def engine_of(spec: TrainingSpec) -> EngineName:
    """The engine that was asked for, or the one that can do the strategy: Transformers' Trainer for language models where it can."""
    if spec.engine is not None:
        return spec.engine
    only_hf = not isinstance(spec.method, Full) or spec.distill is not None
    if not isinstance(spec.model, CausalLm) or (spec.strategy.type in TORCH_ONLY and not only_hf):
        return "torch"
    return "hf"


def layout_of(spec: TrainingSpec, ctx: Context) -> Layout:
    """How the work is spread, with `auto` decided."""
    return fixed_layout(spec) or choose(spec, ctx)[0]


def fixed_layout(spec: TrainingSpec) -> Layout | None:
    """How the work is spread as it is written; None for `auto`."""
    strategy = spec.strategy
    if isinstance(strategy, Auto):
        return None
    if isinstance(strategy, DataParallel):
        return Layout(strategy=strategy.type, data=strategy.processes)
    if isinstance(strategy, TensorParallel):
        return Layout(strategy="tensor", tensor=strategy.processes)
    if isinstance(strategy, PipelineParallel):
        return Layout(strategy="pipeline", pipeline=strategy.stages, microbatches=strategy.microbatches)
    if isinstance(strategy, ThreeD):
        return Layout(
            strategy="3d",
            data=strategy.data,
            tensor=strategy.tensor,
            pipeline=strategy.pipeline,
            microbatches=strategy.microbatches,
        )
    return Layout(strategy="single")


def choose(spec: TrainingSpec, ctx: Context) -> tuple[Layout, str]:
    """The layout for `strategy: auto`, and why. Raises MlctlError when it cannot be told, or when nothing fits."""
    from mlctl.providers.torch.automatic import automatic

    return automatic(spec, ctx)
