"""Pictures of a training: its losses and its learning rate, against steps and epochs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mlctl.runtime.trainer.progress import read_curve

if TYPE_CHECKING:
    import numpy as np

PLOTS_FOLDER = "plots"
_POINTS = 1000  # of a line; more are not seen and make large files


def draw(folder: Path, history: Sequence[Mapping[str, Any]]) -> list[Path]:
    """Draw what a job's folder holds; gives the files, none when no step was recorded."""
    curve = read_curve(folder)
    if not len(curve):
        return []
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    losses, rates = figure.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    shown = _thinned(curve)
    losses.plot(shown["step"], shown["loss"], color="0.7", linewidth=0.8, label="step")
    if history:
        steps = [line["step"] for line in history]
        for name, label in (("train_loss", "training"), ("val_loss", "validation")):
            if all(line.get(name) is not None for line in history):
                losses.plot(steps, [line[name] for line in history], marker="o", markersize=3, label=label)
        _epochs_above(losses, history)
    losses.set_ylabel("loss")
    losses.legend(frameon=False)
    rates.plot(shown["step"], shown["lr"], color="C2", linewidth=1.0)
    rates.set_ylabel("learning rate")
    rates.set_xlabel("step")
    return saved(figure, folder, "loss")


def saved(figure: Any, folder: Path, name: str) -> list[Path]:
    """A figure as files below a job's folder, the same bytes for the same figure."""
    from matplotlib import rc_context

    (folder / PLOTS_FOLDER).mkdir(exist_ok=True)
    made = []
    with rc_context({"svg.hashsalt": "mlctl"}):
        for kind, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            made.append(folder / PLOTS_FOLDER / f"{name}.{kind}")
            figure.savefig(made[-1], dpi=110, metadata=metadata)
    return made


def _thinned(curve: np.ndarray) -> np.ndarray:
    """At most so many points, each a step as it was: the last one among them."""
    stride = -(-len(curve) // _POINTS)
    return curve[(len(curve) - 1) % stride :: stride]


def _epochs_above(axes: Any, history: Sequence[Mapping[str, Any]]) -> None:
    """A second scale that counts epochs."""
    per_epoch = history[0]["step"] / history[0]["epoch"]
    above = axes.secondary_xaxis("top", functions=(lambda step: step / per_epoch, lambda epoch: epoch * per_epoch))
    above.set_xlabel("epoch")
