"""What a training fetches and writes, and whether the disk of this machine has room for it."""

from __future__ import annotations

import os
import shutil

from mlctl.estimate import transfer
from mlctl.estimate.devices import DEVICE_VARIABLE
from mlctl.estimate.setup import Setup
from mlctl.launch.base_models import is_fetched
from mlctl.provider import Context
from mlctl.providers.torch.spec import CausalLm, TrainingSpec
from mlctl.types.estimate import Range
from mlctl.types.spoken import spoken_bytes, spoken_seconds

_WORTH_SAYING = 2**30  # bytes: what is smaller has room


def disk_words(spec: TrainingSpec, setup: Setup, ctx: Context) -> tuple[list[str], list[str]]:
    """Notes on what the training will fetch and have on disk, and a warning where that is more than there is.

    Only of this machine's disk: of others, and of one that is planned for, nothing is known. Of a search the figure is that of one
    trial.
    """
    if spec.executor.type != "local":
        return [], []
    base = _base(spec, setup)
    notes = [_fetching(base)] if base else []
    needed = _needed(spec, setup, spec.checkpoint.keep, base)
    if needed < _WORTH_SAYING:
        return notes, []
    keep = spec.checkpoint.keep
    count = f"{keep} checkpoints" if keep > 1 else "one checkpoint"
    free = _free(ctx)
    if free is None or needed <= free:
        return [
            *notes,
            f"{count}, the one being written and the model take {spoken_bytes(needed - base)} of disk",
        ], []
    held = ", the model and its base" if base else " and the model"
    note = f"{count}, the one being written{held} take {spoken_bytes(needed)} of disk"
    fix = ""
    if keep > 1:
        fix = f"; with `checkpoint: {{keep: 1}}` it would take {spoken_bytes(_needed(spec, setup, 1, base))}"
    return notes, [f"its disk may fill up: {note}, and {spoken_bytes(free)} are free{fix}"]


def _needed(spec: TrainingSpec, setup: Setup, keep: int, base: float) -> float:
    return base + transfer.disk_bytes(setup, keep, best=spec.early_stopping is not None).mid


def _base(spec: TrainingSpec, setup: Setup) -> float:
    """Bytes of a hub's model that is still to be fetched; 0 of what is here."""
    model = spec.model
    if not isinstance(model, CausalLm) or model.revision is None or is_fetched(model.base, model.revision):
        return 0.0
    return transfer.weight_bytes(setup.parameters)


def _fetching(base: float) -> str:
    taken = transfer.seconds(Range.exactly(base), transfer.NETWORK)
    return f"its base is fetched first: {spoken_bytes(base)}, in {spoken_seconds(taken.low)} to {spoken_seconds(taken.high)}"


def _free(ctx: Context) -> float | None:
    """Bytes that this machine's disk has; None where another machine is planned for."""
    if os.environ.get(DEVICE_VARIABLE):
        return None
    try:
        return float(shutil.disk_usage(ctx.root).free)
    except OSError:
        return None
