"""The engine `hf` on one rank: load, go on from the newest checkpoint, train, and leave the weights behind."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from mlctl.runtime.trainer.engine import Ending, Place
from mlctl.runtime.trainer.hf_engine import distill, held, methods, zero
from mlctl.runtime.trainer.hf_engine.capabilities import check
from mlctl.runtime.trainer.hf_engine.course import Course
from mlctl.runtime.trainer.hf_engine.rows import MicroBatches, TokenRows
from mlctl.runtime.trainer.hf_engine.saving import Saver
from mlctl.runtime.trainer.hf_engine.trainer import RowTrainer, arguments
from mlctl.runtime.trainer.plan import PreparedText, RankPlan, Steps
from mlctl.runtime.trainer.stop import Stop
from mlctl.types.jobs.recipe import ZERO, Recipe


def run(plan: RankPlan, place: Place, stop: Stop) -> Ending:
    """Train to the end, or until asked to stop. See `mlctl.runtime.trainer.engine`."""
    if not isinstance(plan.data, PreparedText):
        raise TypeError(f"the engine `hf` trains language models, which do not learn from a {plan.data.type}")
    recipe, rows = plan.recipe, TokenRows(plan.data)
    check(plan, rows, place)
    # deterministic kernels do not need it: it writes over each new tensor, to show who reads what was never written
    torch.utils.deterministic.fill_uninitialized_memory = False
    steps = Steps(plan.data.train, recipe.batch_size, recipe.epochs, place.world, recipe.max_steps)
    batches = MicroBatches(steps, place.rank, recipe.micro_batch_size, recipe.seed)
    course = Course(recipe, place, stop, rows, batches, steps)
    with _explained(recipe):
        trainer = _train(plan, place, course)
        if course.ending != "preempted":
            trainer.saver.leave_weights(trainer)
    trainable, total = held.sizes(trainer.model)
    own = trainer.prove()
    return Ending(
        course.ending, trainer.state.global_step, course.total, course.position.history, own, trainable, total
    )


def _train(plan: RankPlan, place: Place, course: Course) -> RowTrainer:
    recipe, saver = plan.recipe, Saver(plan.recipe, place, course)
    begun = saver.restore()
    if recipe.layout.strategy in ZERO:
        zero.join(place)
    # made before the model is loaded: with ZeRO-3 it is loaded in parts because of them
    args = arguments(recipe, place, course.batches.accumulation, course.batches.most, course.last)
    trainer = distill.trainer(plan, place, methods.load(plan, place), args, course, saver, place)
    trainer.train(resume_from_checkpoint=str(begun) if begun is not None else None)
    saver.settle()
    return trainer


@contextmanager
def _explained(recipe: Recipe) -> Iterator[None]:
    """Say for want of memory what to change, the largest saving first."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError) as error:
        raise MemoryError(f"{str(error).strip().splitlines()[0][:200]}; {_savings(recipe)}") from error
    except RuntimeError as error:
        if "can't allocate memory" not in str(error):
            raise
        raise MemoryError(f"this process cannot get more memory; {_savings(recipe)}") from error


def _savings(recipe: Recipe) -> str:
    ways = []
    if recipe.method.type in ("full", "galore"):
        ways.append("train adapters alone (`method: {type: lora}`), which need no optimizer state for the base")
    if recipe.micro_batch_size != 1:
        ways.append("set a smaller `micro_batch_size`; the gradients of a batch still add up to one step")
    if not recipe.memory.gradient_checkpointing:
        ways.append("set `memory.gradient_checkpointing: true`")
    if recipe.precision == "fp32":
        ways.append("set `precision: bf16`")
    if recipe.layout.strategy != "zero3":
        ways.append("share the weights over processes (`strategy: {type: zero3, ...}`)")
    ways.append("shorten `data.max_length`")
    return "in order of what they save: " + "; ".join(ways)
