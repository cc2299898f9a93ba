"""DeepSpeed's ZeRO: its configuration, and what of a model and its optimizer a rank holds by itself."""

from __future__ import annotations

import os
from typing import Any

from mlctl.runtime.trainer.engine import Place
from mlctl.types.jobs.recipe import ZERO, Recipe

_STAGES = {name: stage for stage, name in enumerate(ZERO, 1)}


def join(place: Place) -> None:
    """Have DeepSpeed use the process group that there is, before a model is loaded in parts.

    On a CPU it would first compile a kernel for a minute, which only its inference uses, and need a compiler for that.
    """
    os.environ.setdefault("DS_ACCELERATOR", place.device.type)
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
    deepspeed.init_distributed(dist_backend="gloo" if place.device.type == "cpu" else "nccl", verbose=False)


def configuration(recipe: Recipe) -> dict[str, Any] | None:
    """The configuration as the Trainer takes it, `auto` where it fills in its own; None where DeepSpeed has no part.

    The optimizer is ours, so that a step is the same whatever the strategy; DeepSpeed only spreads its state.
    """
    stage = _STAGES.get(recipe.layout.strategy)
    if stage is None:
        return None
    # `auto` is the square of the hidden size; DeepSpeed's own default makes a buffer of 2 GB, whatever the model
    optimization: dict[str, Any] = {"stage": stage, "contiguous_gradients": True, "overlap_comm": False}
    optimization["reduce_bucket_size"] = "auto"
    if "optimizer" in recipe.memory.offload:
        optimization["offload_optimizer"] = {"device": "cpu", "pin_memory": False}
    if stage == 3:
        # smaller parameters stay whole: `auto` takes ten times the hidden size, so that norms need no message
        optimization |= {"stage3_param_persistence_threshold": "auto", "stage3_prefetch_bucket_size": "auto"}
        if "parameters" in recipe.memory.offload:
            optimization["offload_param"] = {"device": "cpu", "pin_memory": False}
    return {
        "train_batch_size": "auto",
        "train_micro_batch_size_per_gpu": "auto",
        "gradient_accumulation_steps": "auto",
        "gradient_clipping": "auto",
        "bf16": {"enabled": "auto"},
        "fp16": {"enabled": "auto", "initial_scale_power": 16},
        "zero_optimization": optimization,
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": 10**9,
        "wall_clock_breakdown": False,
    }
