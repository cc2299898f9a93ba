"""How far an unfinished training is, and whether it can go on as it is asked for now."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from mlctl.files import atomic
from mlctl.provider import Desired
from mlctl.providers.torch.layout import engine_of, fixed_layout
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.resuming import goes_on, why_not
from mlctl.types.jobs.search import TRIAL_FILE, TRIALS
from mlctl.types.jobs.train import CHECKPOINTS, CURVE_FILE, CURVE_RECORD


def position(folder: Path) -> str:
    """`step 450 of 1200` of the newest checkpoint, with the step that was reached after it; `trial 3` of a search; or nothing."""
    if trials := sum(1 for _ in (folder / TRIALS).glob(f"*/{TRIAL_FILE}")):
        return f"trial {trials}"
    newest = next(_newest(folder), None)
    if newest is None:
        return ""
    saved, reached = newest["step"], _reached(folder)
    beyond = f" is saved, {reached} was reached" if isinstance(saved, int) and reached > saved else ""
    return f"step {saved} of {newest['total']}{beyond}"


def _reached(folder: Path) -> int:
    """The last step that is on the curve; 0 where there is none. What a full disk cut short is left out."""
    size = struct.calcsize(CURVE_RECORD)
    try:
        with open(folder / CURVE_FILE, "rb") as file:
            count = file.seek(0, os.SEEK_END) // size
            if not count:
                return 0
            file.seek((count - 1) * size)
            return int(struct.unpack(CURVE_RECORD, file.read(size))[0])
    except (OSError, struct.error):
        return 0


def newest_layout(folder: Path) -> Mapping[str, Any] | None:
    """How the newest checkpoint was spread: engine, strategy, and how many processes of each kind."""
    return next((stored["layout"] for stored in _newest(folder) if isinstance(stored.get("layout"), dict)), None)


def refuse_other_layout(stored: Mapping[str, Any], desired: Desired) -> None:
    """Raises MlctlError when a checkpoint of that layout cannot be gone on from."""
    engine, layout = engine_of(desired.spec), fixed_layout(desired.spec)
    if layout is None:  # `auto` is decided for what is there
        return
    try:
        made = Layout.model_validate(stored)
    except ValidationError:
        return  # an older mlctl's; the worker finds out
    made_by = stored.get("engine", engine)
    if not goes_on(made_by, made, engine, layout):
        raise MlctlError.of(
            "training.other-layout",
            f"{desired.address} was begun with `{made.strategy}` on {made.processes} processes, and cannot go on with"
            f" `{layout.strategy}` on {layout.processes}",
            why_not(made_by, made, engine, layout),
            f"finish it as it was begun, or start it anew: `mlctl apply --replace {desired.address}`",
            address=str(desired.address),
        )


def _newest(folder: Path) -> Iterator[dict[str, Any]]:
    """What is noted of checkpoints, the newest first."""
    for path in sorted((folder / CHECKPOINTS).glob("step-*.json"), reverse=True):
        stored = atomic.read_object(path)
        if stored is not None and {"step", "total"} <= stored.keys():
            yield stored
