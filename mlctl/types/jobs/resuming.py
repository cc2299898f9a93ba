"""Whether a training can go on from a checkpoint that was made by another layout."""

from __future__ import annotations

from mlctl.types.jobs.recipe import ZERO, EngineName, Layout, Strategy

# Layouts of one group read each other's checkpoints, with any number of processes.
_GROUPS: dict[EngineName, tuple[frozenset[Strategy], ...]] = {
    "torch": (frozenset({"single", "ddp", "fsdp", "tensor", "pipeline", "3d"}),),
    "hf": (frozenset({"single", "ddp"}),),
}


def goes_on(made_by: EngineName, made: Layout, engine: EngineName, layout: Layout) -> bool:
    """Whether `layout` under `engine` can take over a checkpoint of `made` under `made_by`."""
    if made_by != engine:
        return False
    if made == layout.model_copy(update={"microbatches": made.microbatches}):
        return True
    return any({made.strategy, layout.strategy} <= group for group in _GROUPS[engine])


def why_not(made_by: EngineName, made: Layout, engine: EngineName, layout: Layout) -> str:
    """The reason, for a person."""
    if made_by != engine:
        return f"the engine `{engine}` cannot read a checkpoint of the engine `{made_by}`"
    if made.strategy == layout.strategy and layout.strategy in ZERO:
        return "DeepSpeed cannot change the number of processes of a ZeRO checkpoint"
    return f"a checkpoint of `{made.strategy}` holds other parts of the weights than `{layout.strategy}` needs"
