"""The training loop of one rank, whatever is learnt and however the work is spread.

Everything random is a pure function of (seed, epoch) or (seed, step, data rank), so a training that goes on from a checkpoint
takes the very steps that it would have taken.
"""

from __future__ import annotations

import math
import random
import time
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
import torch.distributed as dist

from mlctl.runtime.trainer.early import best_epoch, is_over
from mlctl.runtime.trainer.engine import WEIGHTS, Ending, Held, Place
from mlctl.runtime.trainer.order import epoch_order, step_seed
from mlctl.runtime.trainer.plan import Steps
from mlctl.runtime.trainer.progress import ProgressWriter
from mlctl.runtime.trainer.schedule import learning_rate
from mlctl.runtime.trainer.stop import Stop
from mlctl.runtime.trainer.torch_engine import parts
from mlctl.runtime.trainer.torch_engine.contracts import Distribution, Task
from mlctl.runtime.trainer.torch_engine.optimizers import local
from mlctl.runtime.trainer.torch_engine.saver import BEST, Position, Saver
from mlctl.runtime.trainer.torch_engine.table_task import TableTask
from mlctl.runtime.trainer.torch_engine.votes import Verdict, Votes
from mlctl.runtime.trainer.weights import read_weights, write_weights
from mlctl.types.jobs.recipe import Recipe

_TOLERANCE = 1.05  # of what a rank may hold over its promise: padding, small parameters
_VALIDATED_AT_ONCE = 4096  # rows of a table


@dataclass(frozen=True, slots=True)
class _Done:
    """A step that was computed and is not reported yet."""

    step: int  # from 0
    lr: float
    norm: float | None
    weight: float
    rows: int
    tokens: float | None


class Loop:
    """One rank of a training. `lengths` holds the tokens of each row, where rows are text."""

    def __init__(
        self,
        recipe: Recipe,
        place: Place,
        stop: Stop,
        task: Task,
        spread: Distribution,
        lengths: np.ndarray | None = None,
    ) -> None:
        self.recipe, self.place, self.stop, self.task, self.spread = recipe, place, stop, task, spread
        self.steps = Steps(task.train, recipe.batch_size, recipe.epochs, spread.data_world, recipe.max_steps)
        self.progress = ProgressWriter(place.folder, task.unit, precision=recipe.precision) if place.rank == 0 else None
        self.position = Position()
        self._saver = Saver(recipe, place, self.progress)
        self._votes = Votes(place)
        self._lengths = lengths
        self._waiting: _Done | None = None
        self._order, self._order_epoch = torch.empty(0, dtype=torch.long), -1
        self._held: list[Held] = []
        self._saved_step = 0
        self._clock = self._saved_at = time.monotonic()

    def run(self) -> Ending:
        """Train from the newest checkpoint to the end. The weights are left in the job's folder, unless it was asked to stop."""
        self._resume()
        self._clock = self._saved_at = time.monotonic()
        steps, early = self.steps, is_over(self.position.history, self.recipe.early_stopping)
        while not early and self.position.step < steps.total:
            step = self.position.step
            verdict = self._step(step)
            ends = steps.ends_epoch(step)
            saves = verdict.stop or verdict.save or steps.saves_after(step, self.recipe.checkpoint.every)
            if ends or saves:
                verdict = self._settled(verdict)
            early = ends and self._end_epoch(step)
            last = early or step + 1 == steps.total
            if last or saves or verdict.stop or verdict.save:
                self._save(step, wait=last or verdict.stop)
            if verdict.stop and not last:
                return self._ending("preempted")
        self._saver.settle()
        self._leave_weights()
        return self._ending("stopped_early" if self.position.step < steps.total else "done")

    def _resume(self) -> None:
        found = self._saver.restore(self.spread, self.steps.per_epoch)
        if found is not None:
            self.position, self._saved_step = found, found.step
            if self.progress is not None:
                self.progress.resumed(found.step, self.steps.total)

    def _step(self, step: int) -> Verdict:
        """Learn from one batch and cast a vote on it; gives the verdict on the step before, or of one process on this one."""
        recipe, spread = self.recipe, self.spread
        batch, own = self._rows(step)
        weight = self.task.weight(batch)
        lr = learning_rate(recipe.optimizer, step, self.steps.total)
        self._seed(step_seed(recipe.seed, step, spread.data_rank))
        micro = parts.cut(own, recipe.micro_batch_size, len(batch), spread.data_world)
        found = spread.accumulate(micro, weight)
        self._check(found.loss, f"the loss became {found.loss}", step)
        try:
            norm = spread.step(lr)
        except FloatingPointError as error:
            raise self._broken(str(error), step) from None
        self.position.step = step + 1
        if not self._held:
            self._prove()
        verdict = self._report()  # of the step before
        tokens = None if self._lengths is None else float(self._lengths[batch.numpy()].sum())
        self._waiting = _Done(step, lr, norm, weight, len(batch), tokens)
        self._votes.cast(found, stop=self.stop.set, save=self._minutes_are_over())
        return verdict if self.place.world > 1 else self._report()

    def _rows(self, step: int) -> tuple[torch.Tensor, torch.Tensor]:
        """The rows of the whole batch, and those of this rank."""
        epoch = step // self.steps.per_epoch
        if epoch != self._order_epoch:
            self._order, self._order_epoch = epoch_order(self.recipe.seed, epoch, self.task.train), epoch
        first, last, size = self.steps.bounds(step, self.spread.data_rank)
        start = step % self.steps.per_epoch * self.recipe.batch_size
        return self._order[start : start + size], self._order[first:last]

    def _seed(self, seed: int) -> None:
        """Seed what dropout draws from, and whatever code of the project may draw from. `torch.manual_seed` also looks for
        devices of every make, 0.2 ms a step."""
        torch.default_generator.manual_seed(seed)
        if self.place.device.type == "cuda":
            torch.cuda.manual_seed(seed)
        if self.recipe.model.type == "python":
            random.seed(seed)
            np.random.seed(seed % 2**32)

    def _minutes_are_over(self) -> bool:
        """Whether rank 0's clock asks for a checkpoint."""
        number, unit = self.recipe.checkpoint.every.split()
        return unit == "minutes" and self.place.rank == 0 and time.monotonic() - self._saved_at >= 60 * int(number)

    def _report(self) -> Verdict:
        """Count the vote on the step that waits for it, and tell of that step."""
        verdict, done = self._votes.count(), self._waiting
        self._waiting = None
        if verdict is None or done is None:
            return Verdict(stop=False, save=False, loss=0.0)
        self._check(verdict.loss, f"the loss became {verdict.loss}", done.step)
        position = self.position
        position.loss += verdict.loss * done.weight
        position.weight += done.weight
        position.tokens += done.tokens or 0.0
        if self.progress is not None:
            epoch = done.step // self.steps.per_epoch + 1
            self.progress.step(
                epoch, done.step + 1, self.steps.total, verdict.loss, done.lr, done.rows, done.tokens, done.norm
            )
        return verdict

    def _settled(self, verdict: Verdict) -> Verdict:
        """Together with the verdict on the last step, which is waited for."""
        last = self._report()
        return Verdict(verdict.stop or last.stop, verdict.save or last.save, last.loss)

    def _end_epoch(self, step: int) -> bool:
        """Validate and report; gives whether the training has learnt what it can."""
        self._spend()
        position, done = self.position, step % self.steps.per_epoch + 1
        rows = min(done * self.recipe.batch_size, self.task.train)
        line = {
            "epoch": step // self.steps.per_epoch + 1,
            "step": step + 1,
            "train_loss": position.loss / position.weight,
            "val_loss": self._validate(step),
            "seconds": position.seconds,
            "rows_per_second": rows / max(position.seconds, 1e-9),
        }
        if position.tokens:
            line["tokens_per_second"] = position.tokens / max(position.seconds, 1e-9)
        position.history.append(line)
        position.loss = position.weight = position.seconds = position.tokens = 0.0
        if self.progress is not None:
            self.progress.epoch({"total": self.steps.total, **line})
        early = self.recipe.early_stopping
        if early is not None and best_epoch(position.history, early.min_delta) == len(position.history) - 1:
            self._saver.keep_best(self.spread)
        self._clock = time.monotonic()
        return is_over(position.history, early)

    def _validate(self, step: int) -> float:
        """The mean loss over the validation rows."""
        first, spread = self.task.train, self.spread
        last, few = first + self.task.validation, self.task.validation < spread.data_world
        rows = parts.shared(first, last, spread.data_rank, spread.data_world)
        at_once = self.recipe.micro_batch_size or -(-self.recipe.batch_size // spread.data_world)
        if isinstance(self.task, TableTask):
            at_once = max(at_once, _VALIDATED_AT_ONCE)
        micro = parts.cut(rows, at_once, self.task.validation, 1 if few else spread.data_world)
        loss, weight = self._votes.sum(*spread.evaluate(micro))
        mean = loss / weight if weight else math.nan
        self._check(mean, f"the validation loss became {mean}", step)
        return mean

    def _spend(self) -> None:
        now = time.monotonic()
        self.position.seconds += now - self._clock
        self._clock = now

    def _save(self, step: int, *, wait: bool) -> None:
        broken = any(not bool(torch.isfinite(local(value)).all()) for value in self.spread.module.parameters())
        if self._votes.sum(float(broken))[0]:
            raise self._broken("a weight became infinite or not a number", step)
        self._spend()
        epoch, per_epoch = step // self.steps.per_epoch, self.steps.per_epoch
        self._saver.save(
            self.spread, self.position, per_epoch=per_epoch, total=self.steps.total, epoch=epoch, wait=wait
        )
        self._saved_step, self._saved_at = step + 1, time.monotonic()

    def _prove(self) -> None:
        """See that each rank holds no more than the layout promises: a library that drops the sharding does not say so."""
        own, most = self.spread.held(), self.spread.promised()
        everyone: list[Any] = [own]
        if self.place.world > 1:
            everyone = [None] * self.place.world
            dist.all_gather_object(everyone, own)
        self._held = everyone
        if self.progress is not None:
            self.progress.held(self.spread.trainable, self.spread.total, everyone)
        for name in ("parameters", "optimizer"):
            held, promised = getattr(own, name), getattr(most, name)
            if held > promised * _TOLERANCE:
                raise RuntimeError(
                    f"rank {self.place.rank} holds {held:,} elements of the {name}, and `{self.recipe.layout.strategy}` over "
                    f"{self.place.world} processes promises {promised:,} at most: the work was not spread as planned"
                )

    def _leave_weights(self) -> None:
        """Those of the best epoch where the training may stop early, else those of the last step."""
        place = self.place.folder / WEIGHTS
        if self.recipe.early_stopping is not None:
            if self.place.rank == 0:
                write_weights(place, read_weights(self.place.folder / BEST))
            return
        weights = self.spread.weights()
        if weights is not None:
            write_weights(place, weights)

    def _ending(self, status: Literal["done", "preempted", "stopped_early"]) -> Ending:
        return Ending(
            status=status,
            step=self.position.step,
            total=self.steps.total,
            history=self.position.history,
            held=self.spread.held(),
            trainable=self.spread.trainable,
            parameters=self.spread.total,
        )

    def _check(self, value: float, what: str, step: int) -> None:
        if not math.isfinite(value):
            raise self._broken(what, step)

    def _broken(self, what: str, step: int) -> FloatingPointError:
        kept = (
            f"the checkpoint of step {self._saved_step} is kept"
            if self._saved_step
            else "no checkpoint was made before"
        )
        return FloatingPointError(
            f"{what} at step {step + 1}; lower `optimizer.lr`, clip gradients by `optimizer.max_grad_norm`, or look for huge "
            f"values in the data; {kept}"
        )
