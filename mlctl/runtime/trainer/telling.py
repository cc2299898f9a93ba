"""What the ranks say, handed on: to whoever watches, as progress, and to the run in MLflow."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.runtime.report import Report

_SHOWN = ("loss", "train_loss", "val_loss", "rows_per_second", "tokens_per_second", "mfu")


def tell(line: Mapping[str, Any], recorder: Any, report: Report) -> None:
    """Hand on one line of rank 0, see `mlctl.runtime.trainer.engine`. A kind of line that is not known is left alone."""
    kind = line["type"]
    if kind == "held":
        recorder.held(line)
        report.progress(share_of(line["trainable"], line["total"]))
        return
    if kind == "placed":
        report.progress(line["what"])
        return
    if kind == "restarted":
        report.progress(f"{line['why']}; starting the ranks again ({line['left']} more tries)")
        return
    said = {
        "resumed": "going on from a checkpoint",
        "saved": "saved a checkpoint",
        "step": f"epoch {line.get('epoch')}",
        "epoch": f"epoch {line.get('epoch')} done",
    }
    if kind not in said:
        return
    if kind == "step":
        recorder.step(line)
    elif kind == "epoch":
        recorder.epoch(line)
    figures = {name: line[name] for name in _SHOWN if isinstance(line.get(name), int | float)}
    if "tokens_per_second" in figures:  # rows of a text are of any length
        figures.pop("rows_per_second", None)
    report.progress(said[kind], line["step"], line["total"], "steps", **figures)


def share_of(trainable: int, total: int) -> str:
    """`trains 2.44 M of 137 M parameters (1.78 %)`."""
    if trainable == total:
        return f"trains all {_count(total)} parameters"
    return f"trains {_count(trainable)} of {_count(total)} parameters ({trainable / total:.2%})".replace("%", " %")


def _count(number: int) -> str:
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= size:
            return f"{number / size:.3g} {letter}"
    return str(number)
