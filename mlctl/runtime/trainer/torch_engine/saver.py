"""Save and restore a training: the distribution's own files, and beside them where the loop stands."""

from __future__ import annotations

import json
import os
import shutil
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch.distributed as dist

from mlctl.files import atomic
from mlctl.runtime.trainer.checkpoint import Checkpoints, note_layout
from mlctl.runtime.trainer.engine import WEIGHTS_FILE, Place
from mlctl.runtime.trainer.progress import ProgressWriter
from mlctl.runtime.trainer.torch_engine.contracts import Distribution
from mlctl.runtime.trainer.weights import write_weights
from mlctl.types.jobs.recipe import Recipe
from mlctl.types.jobs.train import CHECKPOINTS

BEST = "best"  # folder of a job: the weights of the best epoch so far, where a training may stop early
_POSITION_FILE = "position.json"


@dataclass
class Position:
    """Where a training stands, the same on all ranks, and what of the running epoch is yet to be reported."""

    step: int = 0  # steps done
    history: list[dict[str, float]] = field(default_factory=list)
    loss: float = 0.0  # sum over the running epoch, of whole batches
    weight: float = 0.0
    seconds: float = 0.0  # of the running epoch
    tokens: float = 0.0


class Saver:
    """Checkpoints of one training, written by all of its ranks; beside the training where that is asked for."""

    def __init__(self, recipe: Recipe, place: Place, progress: ProgressWriter | None) -> None:
        self._recipe, self._place, self._progress = recipe, place, progress
        self._checkpoints = Checkpoints(place.folder / CHECKPOINTS, recipe.checkpoint.keep)
        self._best = place.folder / BEST
        self._writer: threading.Thread | None = None
        self._error: BaseException | None = None
        self._group: Any = None  # a thread must not use the process group of the training

    def restore(self, spread: Distribution, per_epoch: int) -> Position | None:
        """Go on from the newest whole checkpoint, where there is one. Raises ValueError for one that cannot be taken over."""
        found = self._checkpoints.agreed(self._place.rank, self._place.world)
        if self._place.rank == 0:
            self._restore_best(found)
        if found is None:
            return None
        stored = json.loads((found / _POSITION_FILE).read_bytes())
        if stored.pop("per_epoch") != per_epoch:
            raise ValueError(
                f"the checkpoint {found.name} was made with another number of steps in an epoch; this number of processes "
                "shares the last batch of an epoch in another way: go on with as many as before"
            )
        spread.load(found)
        return Position(**stored)

    def keep_best(self, spread: Distribution) -> None:
        """Keep the weights as they are now as the best so far. All ranks call it."""
        weights = spread.weights()
        if weights is not None:
            write_weights(self._best, weights)

    def save(
        self, spread: Distribution, position: Position, *, per_epoch: int, total: int, epoch: int, wait: bool
    ) -> None:
        """Make a checkpoint. All ranks call it at the same step; with `wait` it counts when this returns."""
        self.settle()
        aside = self._recipe.checkpoint.background and not wait
        write = spread.snapshot() if aside else spread.save
        staged = self._checkpoints.stage(position.step)
        if self._place.rank == 0:
            atomic.write_json(staged / _POSITION_FILE, {**asdict(position), "per_epoch": per_epoch})
            note_layout(staged, self._recipe.layout)
            if (self._best / WEIGHTS_FILE).exists():
                _link(self._best / WEIGHTS_FILE, staged / f"{BEST}.safetensors")
        if not aside:
            self._finish(write, staged, position.step, total, epoch, None)
            return
        if self._group is None and self._place.world > 1:
            self._group = dist.new_group(backend="gloo")
        work = (write, staged, position.step, total, epoch, self._group)
        self._writer = threading.Thread(target=self._finish_aside, args=work, name="checkpoint", daemon=True)
        self._writer.start()

    def settle(self) -> None:
        """Wait for the checkpoint that is being written; raises what went wrong with it."""
        if self._writer is not None:
            self._writer.join()
            self._writer = None
        if self._error is not None:
            raise self._error

    def _finish_aside(self, *work: Any) -> None:
        try:
            self._finish(*work)
        except BaseException as error:  # is raised where the training waits for it
            self._error = error

    def _finish(
        self, write: Callable[[Path], None], staged: Path, step: int, total: int, epoch: int, group: Any
    ) -> None:
        write(staged)
        if self._place.world > 1:
            dist.barrier(group)  # all parts are there
        if self._place.rank == 0:
            self._checkpoints.commit(step, total, epoch)
            if self._progress is not None:
                self._progress.saved(step, total)

    def _restore_best(self, found: Path | None) -> None:
        """The best epoch is that of the checkpoint: a later one belongs to steps that are taken again."""
        shutil.rmtree(self._best, ignore_errors=True)
        if found is not None and (found / f"{BEST}.safetensors").exists():
            self._best.mkdir()
            _link(found / f"{BEST}.safetensors", self._best / WEIGHTS_FILE)


def _link(path: Path, to: Path) -> None:
    """The same file under another name, or a copy where the disk knows no links. Neither is ever written to again."""
    to.unlink(missing_ok=True)
    try:
        os.link(path, to)
    except OSError:
        shutil.copyfile(path, to)
