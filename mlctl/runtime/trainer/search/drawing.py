"""Pictures of a search: what each trial came to, and which hyperparameters decided it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from pathlib import Path

from mlctl.runtime.trainer.plots import PLOTS_FOLDER as PLOTS_FOLDER
from mlctl.runtime.trainer.plots import saved
from mlctl.runtime.trainer.search.trials import Trial
from mlctl.types.jobs.search import Search

_COLORS = {"done": "C0", "pruned": "0.6"}


def draw(folder: Path, search: Search, trials: Sequence[Trial], decided: Mapping[str, float]) -> list[Path]:
    """Draw all trials; gives the files."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 5.5), layout="constrained")
    values, *shares = figure.subplots(*((2, 1) if decided else (1, 1)), squeeze=False).flat
    for status, color in _COLORS.items():
        shown = [trial for trial in trials if trial.status == status and trial.value is not None]
        values.scatter(
            [trial.number + 1 for trial in shown], [trial.value for trial in shown], c=color, s=14, label=status
        )
    done = [trial for trial in trials if trial.status == "done" and trial.value is not None]
    better = min if search.direction == "minimize" else max
    best = list(accumulate((trial.value or 0.0 for trial in done), better))
    values.step(
        [trial.number + 1 for trial in done], best, where="post", color="C3", linewidth=1.0, label="best so far"
    )
    values.set_xlabel("trial")
    values.set_ylabel(search.metric)
    values.legend(frameon=False)
    for axes in shares:
        names = sorted(decided, key=lambda name: decided[name])
        axes.barh(names, [decided[name] for name in names], color="C0")
        axes.set_xlabel("importance")
    return saved(figure, folder, "search")
