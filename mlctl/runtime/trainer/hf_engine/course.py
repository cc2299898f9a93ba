"""The course of a training: when to seed, validate, save and stop, and what is told of it. All ranks decide the same."""

from __future__ import annotations

import math
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import torch
import torch.distributed as dist
from transformers import TrainerCallback

from mlctl.runtime.trainer.early import best_epoch, is_over
from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.hf_engine.rows import MicroBatches, TokenRows
from mlctl.runtime.trainer.order import mix
from mlctl.runtime.trainer.plan import Steps
from mlctl.runtime.trainer.progress import ProgressWriter
from mlctl.runtime.trainer.stop import Stop
from mlctl.types.jobs.recipe import Recipe


@dataclass
class Position:
    """What has happened so far, of the running epoch too. The same on all ranks; a checkpoint holds it."""

    history: list[dict[str, float]] = field(default_factory=list)
    loss_sum: float = 0.0
    weight: float = 0.0
    rows: int = 0
    tokens: int = 0
    seconds: float = 0.0

    def stored(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


class Course(TrainerCallback):  # type: ignore[misc]
    """Told by the Trainer of each step, it keeps the position, and asks the Trainer to save and to stop."""

    def __init__(
        self, recipe: Recipe, place: Place, stop: Stop, rows: TokenRows, batches: MicroBatches, steps: Steps
    ) -> None:
        self.recipe, self.place, self.stop = recipe, place, stop
        self.rows, self.batches, self.steps = rows, batches, steps
        self.total = self.last = steps.total
        self.position = Position()
        self.progress = ProgressWriter(place.folder, "tokens", precision=recipe.precision) if place.rank == 0 else None
        self.trainer: Any = None  # set once it is made
        self.ending: Literal["done", "preempted", "stopped_early"] = "done"
        self._started = self._saved = time.perf_counter()
        self._saved_step = 0
        self._lr = recipe.optimizer.lr

    def go_on(self, position: Position, step: int) -> None:
        """Go on from a checkpoint; not at all from one that a training left which had stopped early."""
        self.position, self._saved_step = position, step
        if self.has_stopped_early() and step < self.total:
            self.ending, self.last = "stopped_early", step
        if self.progress is not None:
            self.progress.resumed(step, self.total)

    # what the Trainer calls

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The clock starts once all is loaded."""
        self._started = self._saved = time.perf_counter()

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The order of rows is another in each epoch."""
        self.batches.set_epoch(state.global_step // self.steps.per_epoch)

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Seed what dropout draws from by the step, so that a training that goes on draws the same."""
        seed = mix(self.recipe.seed, state.global_step, self.place.rank)
        torch.default_generator.manual_seed(seed)
        if self.place.device.type == "cuda":
            torch.cuda.manual_seed(seed)

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """The learning rate is moved on before the step's end."""
        self._lr = self.trainer.lr_scheduler.get_last_lr()[0]

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Take the loss of the step, end the epoch where it ends, and agree on saving and stopping."""
        step = int(state.global_step)
        loss, stopping, due = self._agree(step)
        if not math.isfinite(loss):
            raise self.broken(f"the loss became {loss}", step)
        self._take(step, loss)
        self.trainer.prove()
        if self.progress is not None:
            self._tell(step, loss)
        ends = self.steps.ends_epoch(step - 1)
        if ends:
            self._end_epoch(step)
        control.should_save = stopping or due
        control.should_training_stop = stopping or step >= self.total
        if stopping and step < self.total:
            self.ending = "preempted"
        if ends and step < self.total and self.has_stopped_early():
            self.ending = "stopped_early"
            control.should_save = control.should_training_stop = True

    # what is decided

    def has_stopped_early(self) -> bool:
        """Whether the history so far asks for an early end."""
        return is_over(self.position.history, self.recipe.early_stopping)

    def _agree(self, step: int) -> tuple[float, bool, bool]:
        """The loss over all ranks, whether any was asked to stop, and whether a checkpoint is due: one message for all."""
        every = self.recipe.checkpoint.every
        number, unit = every.split()
        late = unit == "minutes" and self.place.rank == 0 and time.perf_counter() - self._saved >= 60 * float(number)
        loss = self.trainer.taken_loss()
        votes = torch.stack(
            [
                loss.double(),
                *(torch.tensor(float(vote), dtype=torch.float64, device=loss.device) for vote in (self.stop.set, late)),
            ]
        )
        if self.place.world > 1:
            dist.all_reduce(votes)
        value, stopping, minutes = votes.tolist()
        due = minutes > 0 or self.steps.saves_after(step - 1, every)
        return value / self.place.world, stopping > 0, due

    def saved(self, step: int) -> None:
        """A checkpoint counts now. All ranks are told, each when it knows."""
        self._saved_step = step
        if self.progress is not None:
            self.progress.saved(step, self.total)

    def broken(self, what: str, step: int) -> FloatingPointError:
        """The error for numbers that have left all bounds."""
        kept = (
            f"the checkpoint of step {self._saved_step} is kept"
            if self._saved_step
            else "no checkpoint was made before"
        )
        return FloatingPointError(
            f"{what} at step {step}; lower `optimizer.lr`, clip gradients by `optimizer.max_grad_norm`, or look for huge values "
            f"in the data; {kept}"
        )

    # what is told

    def _take(self, step: int, loss: float) -> None:
        rows = self.batches.rows(step - 1)
        weight, position = self.rows.weight(rows), self.position
        position.loss_sum += loss * weight
        position.weight += weight
        position.rows += len(rows)
        position.tokens += self.rows.tokens(rows)

    def _tell(self, step: int, loss: float) -> None:
        rows = self.batches.rows(step - 1)
        assert self.progress is not None  # noqa: S101
        epoch = (step - 1) // self.steps.per_epoch + 1
        norm = self.trainer.taken_norm()
        self.progress.step(epoch, step, self.total, loss, self._lr, len(rows), self.rows.tokens(rows), norm)

    def _end_epoch(self, step: int) -> None:
        position = self.position
        spent = position.seconds + time.perf_counter() - self._started
        validated = self.trainer.validate()
        if not math.isfinite(validated):
            raise self.broken(f"the validation loss became {validated}", step)
        line = {
            "epoch": len(position.history) + 1,
            "step": step,
            "train_loss": position.loss_sum / max(position.weight, 1),
            "val_loss": validated,
            "seconds": spent,
            "rows_per_second": position.rows / spent,
            "tokens_per_second": position.tokens / spent,
        }
        self.position = Position([*position.history, line])
        if self.progress is not None:
            self.progress.epoch({**line, "total": self.total})
        asked, history = self.recipe.early_stopping, self.position.history
        if asked is not None and best_epoch(history, asked.min_delta) == len(history) - 1:
            self.trainer.saver.keep_best(self.trainer)
        self._started = time.perf_counter()

    def pause(self) -> dict[str, Any]:
        """The position, with the time of the running epoch, to be saved now."""
        now = time.perf_counter()
        self.position.seconds += now - self._started
        self._started = self._saved = now
        return self.position.stored()
