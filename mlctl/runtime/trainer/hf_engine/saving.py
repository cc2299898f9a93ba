"""What a training leaves on disk: checkpoints to go on from, the weights of the best epoch, and the weights at its end."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

import torch
import torch.distributed as dist

from mlctl.files import atomic
from mlctl.runtime.trainer.checkpoint import Checkpoints, layout_of, note_layout
from mlctl.runtime.trainer.engine import WEIGHTS, Place
from mlctl.runtime.trainer.hf_engine import methods
from mlctl.runtime.trainer.hf_engine.course import Course, Position
from mlctl.runtime.trainer.torch_engine.whole import copied
from mlctl.runtime.trainer.weights import swap_in
from mlctl.types.jobs.recipe import ZERO, Recipe
from mlctl.types.jobs.train import CHECKPOINTS

_BEST = "best"  # a folder of the job, and of a checkpoint: the weights of the best epoch so far
_POSITION_FILE, _STATE_FILE, _OPTIMIZER_FILE, _SCALER_FILE = (
    "position.json",
    "trainer_state.json",
    "optimizer.pt",
    "scaler.pt",
)


class Saver:
    """Writes and reads the files of one training. All ranks have one and call it at the same steps."""

    def __init__(self, recipe: Recipe, place: Place, course: Course) -> None:
        self._recipe, self._place, self._course = recipe, place, course
        self._checkpoints = Checkpoints(place.folder / CHECKPOINTS, recipe.checkpoint.keep)
        self._best = place.folder / _BEST
        self._thread: Thread | None = None
        self._error: BaseException | None = None

    # going on

    def restore(self) -> Path | None:
        """The checkpoint to go on from; the course then stands where it stood. Raises ValueError for one that this layout cannot
        take over."""
        found = self._checkpoints.agreed(self._place.rank, self._place.world)
        if self._place.rank == 0:
            shutil.rmtree(self._best, ignore_errors=True)  # a later one belongs to steps that are taken again
            if found is not None and (found / _BEST).exists():
                _link(found / _BEST, self._best)
        if found is None:
            return None
        self._check_layout(found)
        stored = json.loads((found / _POSITION_FILE).read_bytes())
        if stored.pop("per_epoch") != self._course.steps.per_epoch:
            raise ValueError(
                f"the checkpoint {found.name} was made with another number of steps in an epoch; this number of processes "
                "shares the last batch of an epoch in another way: go on with as many as before"
            )
        self._course.go_on(Position(**stored), self._checkpoints.position(found)["step"])
        return found

    def _check_layout(self, found: Path) -> None:
        made, layout = layout_of(found), self._recipe.layout
        same = made["strategy"] == layout.strategy and made["world"] == self._place.world
        if not same and (made["strategy"] in ZERO or layout.strategy in ZERO):
            raise ValueError(
                f"the checkpoint {found.name} was saved by {made['world']} processes of `{made['strategy']}`, whose parts of "
                f"the optimizer's state do not fit {self._place.world} of `{layout.strategy}`: go on with as many as before"
            )

    @staticmethod
    def step_of(checkpoint: Path) -> int:
        """After which step a checkpoint was made."""
        return int(json.loads((checkpoint / _STATE_FILE).read_bytes())["global_step"])

    def read_optimizer(self, checkpoint: Path, trainer: Any) -> None:
        """Put the state of the optimizer, and of float16's scale, back."""
        path = checkpoint / _OPTIMIZER_FILE
        trainer.optimizer.load_state_dict(torch.load(path, map_location=self._place.device, weights_only=True))
        if trainer.accelerator.scaler is not None:
            scale = torch.load(checkpoint / _SCALER_FILE, weights_only=True)
            trainer.accelerator.scaler.load_state_dict(scale)

    # saving

    def save(self, trainer: Any) -> None:
        """Make a checkpoint of the step that was just taken."""
        self.settle()
        self._check_weights(trainer)
        step, position = int(trainer.state.global_step), self._course.pause()
        if self._recipe.layout.strategy in ZERO:
            stage = self._checkpoints.stage(step)
            self._note(stage, position, trainer)
            frozen = methods.adapter_config(trainer.model) is not None
            trainer.model_wrapped.save_checkpoint(str(stage), exclude_frozen_parameters=frozen)
            dist.barrier()  # all parts are there
            self._commit(step, position)
        elif self._place.rank == 0:
            self._save_whole(trainer, step, position)
        else:
            self._course.saved(step)

    def _save_whole(self, trainer: Any, step: int, position: dict[str, Any]) -> None:
        """Where each rank has all, rank 0 writes all; while the next steps are computed, where that was asked for."""
        stage = self._checkpoints.stage(step)
        self._note(stage, position, trainer)
        state = methods.trained_state(trainer.model, self._place)
        assert state is not None  # noqa: S101
        optimizer, scaler = trainer.optimizer.state_dict(), trainer.accelerator.scaler
        scale = scaler.state_dict() if scaler is not None else None
        aside = self._recipe.checkpoint.background and not trainer.control.should_training_stop
        if aside:
            optimizer = copied(optimizer)  # the next steps change it

        def write() -> None:
            methods.write(stage, trainer.model, state, self._base)
            torch.save(optimizer, stage / _OPTIMIZER_FILE)
            if scale is not None:
                torch.save(scale, stage / _SCALER_FILE)
            self._commit(step, position)

        if aside:
            self._thread = Thread(target=self._aside, args=(write,), name="checkpoint", daemon=True)
            self._thread.start()
        else:
            write()

    def settle(self) -> None:
        """Wait for the checkpoint that is being written; raises what went wrong with it."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if self._error is not None:
            raise self._error

    def _aside(self, write: Callable[[], None]) -> None:
        try:
            write()
        except BaseException as error:  # is raised where the training waits for it
            self._error = error

    def _note(self, stage: Path, position: dict[str, Any], trainer: Any) -> None:
        if self._place.rank != 0:
            return
        note_layout(stage, self._recipe.layout)
        atomic.write_json(stage / _POSITION_FILE, {**position, "per_epoch": self._course.steps.per_epoch})
        trainer.state.save_to_json(str(stage / _STATE_FILE))
        if self._best.exists():
            _link(self._best, stage / _BEST)

    def _commit(self, step: int, position: dict[str, Any]) -> None:
        if self._place.rank == 0:
            self._checkpoints.commit(step, self._course.total, len(position["history"]))
        self._course.saved(step)

    def _check_weights(self, trainer: Any) -> None:
        """Save nothing that is broken: the last step may have been one too large."""
        broken = sum(not bool(torch.isfinite(_own(value)).all()) for value in trainer.model.parameters())
        votes = torch.tensor(float(broken), device=self._place.device)
        if self._place.world > 1:
            dist.all_reduce(votes)
        if votes.item():
            raise self._course.broken("a weight became infinite or not a number", int(trainer.state.global_step))

    # weights

    def keep_best(self, trainer: Any) -> None:
        """Keep the weights as they are now as the best so far."""
        self._swap_in(trainer, self._best)

    def leave_weights(self, trainer: Any) -> None:
        """Leave those of the best epoch where the training may stop early, else those of the last step."""
        folder = self._place.folder / WEIGHTS
        if self._recipe.early_stopping is None:
            self._swap_in(trainer, folder)
        elif self._place.rank == 0:
            _link(self._best, folder)

    def _swap_in(self, trainer: Any, folder: Path) -> None:
        state = methods.trained_state(trainer.model, self._place)
        if state is not None:
            beside = _beside(folder)
            methods.write(beside, trainer.model, state, self._base)
            swap_in(beside, folder)

    @property
    def _base(self) -> str:
        model = self._recipe.model
        assert model.type == "causal_lm"  # noqa: S101
        return model.base


def _own(value: torch.Tensor) -> torch.Tensor:
    """What this rank holds of a parameter."""
    own: torch.Tensor = getattr(value, "ds_tensor", value)
    return own.detach()


def _beside(folder: Path) -> Path:
    beside = folder.with_name(f".{folder.name}.new")
    shutil.rmtree(beside, ignore_errors=True)
    return beside


def _link(folder: Path, to: Path) -> None:
    """The same files in another folder, or copies where the disk knows no links. None is ever written to again."""
    beside = _beside(to)
    beside.mkdir(parents=True)
    for path in folder.iterdir():
        try:
            os.link(path, beside / path.name)
        except OSError:
            shutil.copyfile(path, beside / path.name)
    swap_in(beside, to)
