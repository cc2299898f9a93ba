"""How rank 0 tells how far a training is: lines for those who watch, and a record of every step for those who draw the curve.

The curve is written step by step without a buffer, so that a kill loses nothing of it; a training that goes on from a checkpoint
cuts it to that step with its first own one.
"""

from __future__ import annotations

import json
import math
import os
import struct
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.runtime.trainer import devices
from mlctl.runtime.trainer.plan import PROGRESS_FILE
from mlctl.types.jobs.train import CURVE_FILE as CURVE_FILE
from mlctl.types.jobs.train import CURVE_RECORD

if TYPE_CHECKING:
    import numpy as np

    from mlctl.runtime.trainer.engine import Held

LINE_SECONDS = 0.5  # between two lines of steps
_RECORD = struct.Struct(CURVE_RECORD)
_FIELDS = [("step", "<i8"), ("epoch", "<i4"), ("loss", "<f8"), ("lr", "<f8"), ("grad_norm", "<f8"), ("time", "<f8")]


class ProgressWriter:
    """Of rank 0 alone. `unit` is what a loss is averaged over, `rows` or `tokens`."""

    def __init__(self, folder: Path, unit: str, *, precision: str = "fp32") -> None:
        self._folder, self._unit, self._precision = folder, unit, precision
        self._curve: int | None = None
        self._flops = 0.0  # floating-point operations for a token, over all ranks
        self._peak: float | None = None
        self._since = time.monotonic()
        self._rows, self._tokens, self._losses = 0.0, 0.0, list[float]()

    def held(self, trainable: int, total: int, ranks: Sequence[Held]) -> None:
        """Say once, before the first step, how many parameters are trained, and what each rank holds by itself."""
        # forward 2 operations a parameter, backward 2 for the activations and 2 for the weights that are trained (Kaplan et al. 2020)
        self._flops = (6.0 if trainable * 2 > total else 4.0) * total
        self._peak = devices.peak_flops(self._precision, len(ranks))
        held = [{"parameters": item.parameters, "optimizer": item.optimizer} for item in ranks]
        self._write({"type": "held", "trainable": trainable, "total": total, "unit": self._unit, "ranks": held})
        self._restart()

    def step(
        self,
        epoch: int,
        step: int,
        total: int,
        loss: float,
        lr: float,
        rows: float,
        tokens: float | None = None,
        grad_norm: float | None = None,
    ) -> None:
        """After each step: epochs and steps count from 1; `rows` and `tokens` are those of the whole batch of this step."""
        now = time.monotonic()
        norm = math.nan if grad_norm is None else grad_norm
        if self._curve is None:
            self._curve = _opened(self._folder / CURVE_FILE, before=step)
        os.write(self._curve, _RECORD.pack(step, epoch, loss, lr, norm, time.time()))
        self._rows += rows
        self._tokens += tokens or 0.0
        self._losses.append(loss)
        if now - self._since < LINE_SECONDS and step < total:
            return
        line = {"type": "step", "epoch": epoch, "step": step, "total": total, "lr": lr}
        line["loss"] = sum(self._losses) / len(self._losses)
        if grad_norm is not None:
            line["grad_norm"] = grad_norm
        self._write({**line, **self._speed(now - self._since)})
        self._restart(now)

    def epoch(self, line: Mapping[str, Any]) -> None:
        """After each epoch: `epoch`, `step`, `total`, `train_loss`, `val_loss`, `seconds`, `rows_per_second` and more."""
        self._write({"type": "epoch", **line})
        self._restart()

    def resumed(self, step: int, total: int) -> None:
        """Before the first step, where it goes on from a checkpoint."""
        self._write({"type": "resumed", "step": step, "total": total})
        self._restart()

    def saved(self, step: int, total: int) -> None:
        """After a checkpoint counts."""
        self._write({"type": "saved", "step": step, "total": total})

    def close(self) -> None:
        """No more steps will come. A process that ends without it loses nothing."""
        if self._curve is not None:
            os.close(self._curve)
            self._curve = None

    def _speed(self, seconds: float) -> dict[str, float]:
        seconds = max(seconds, 1e-9)
        found = {"rows_per_second": self._rows / seconds}
        if self._tokens:
            found["tokens_per_second"] = self._tokens / seconds
            if self._peak:
                found["mfu"] = self._flops * found["tokens_per_second"] / self._peak
        return found

    def _restart(self, now: float | None = None) -> None:
        self._since = time.monotonic() if now is None else now
        self._rows, self._tokens = 0.0, 0.0
        self._losses.clear()

    def _write(self, line: Mapping[str, Any]) -> None:
        with open(self._folder / PROGRESS_FILE, "a", encoding="utf-8") as stream:
            stream.write(json.dumps(line) + "\n")


def read_curve(folder: Path) -> np.ndarray:
    """Every step of the training in a job's folder, by fields `step`, `epoch`, `loss`, `lr`, `grad_norm` (NaN where it was not
    measured) and `time`; empty when there is none. A record that a full disk cut short is left out."""
    import numpy as np

    path = folder / CURVE_FILE
    count = path.stat().st_size // _RECORD.size if path.exists() else 0
    return np.fromfile(path, dtype=_FIELDS, count=count) if count else np.empty(0, dtype=_FIELDS)


def _opened(path: Path, *, before: int) -> int:
    """The curve, open to append, without the records of `before` and later ones."""
    handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    low, high = 0, os.fstat(handle).st_size // _RECORD.size
    while low < high:  # steps only grow
        middle = (low + high) // 2
        step = _RECORD.unpack(os.pread(handle, _RECORD.size, middle * _RECORD.size))[0]
        low, high = (middle + 1, high) if step < before else (low, middle)
    os.ftruncate(handle, low * _RECORD.size)
    os.lseek(handle, 0, os.SEEK_END)
    return handle
