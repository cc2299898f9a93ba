"""Keep the scores of an evaluation beside its verdict, for monitors to compare with later."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mlctl.files import atomic
from mlctl.types.jobs.labels import HELD_OUT_ROWS, HeldOut

HELD_OUT_FILE = "held_out.json"
_SEED = 20_260_614


def keep(folder: Path, task: Literal["binary", "regression"], target: Any, score: Any) -> str:
    """Write a sample of scores with their targets, in the order of the rows, and give the file's name in the project."""
    rows = np.arange(len(score))
    if len(rows) > HELD_OUT_ROWS:
        rows = np.sort(np.random.default_rng(_SEED).choice(rows, HELD_OUT_ROWS, replace=False))
    kept = HeldOut(task=task, rows=len(score), scores=score[rows].tolist(), targets=target[rows].tolist())
    atomic.write_bytes(folder / HELD_OUT_FILE, kept.model_dump_json().encode())
    return os.path.relpath(folder / HELD_OUT_FILE)
