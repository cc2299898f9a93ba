"""The trials of a search, a file each, written whole: what a search that was killed goes on from."""

from __future__ import annotations

import json
import shutil
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from mlctl.files import atomic
from mlctl.runtime.trainer import plots, provenance
from mlctl.runtime.trainer.plan import ENDED_FILE
from mlctl.runtime.trainer.progress import CURVE_FILE
from mlctl.types.job import JOB_FILE
from mlctl.types.jobs.search import TRIAL_FILE, TRIALS
from mlctl.types.value import Json

# What is kept of a trial that is not the best: how it went, and not what it made.
_KEPT = (TRIAL_FILE, JOB_FILE, CURVE_FILE, ENDED_FILE, provenance.PROVENANCE_FILE, plots.PLOTS_FOLDER)


@dataclass
class Trial:
    """One training of a search: what it was given, what it told after each epoch, and what came of it."""

    number: int  # from 0
    params: dict[str, Json]  # by the names of the spec
    status: Literal["running", "done", "pruned", "failed"] = "running"
    value: float | None = None
    told: list[tuple[int, float]] = field(default_factory=list)  # epoch, metric
    rungs: dict[str, float] = field(default_factory=dict)  # what the pruner noted of it
    error: str = ""


class Trials:
    """The trials in a job's folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder / TRIALS
        self._folder.mkdir(exist_ok=True)
        self.all = [_read(path) for path in sorted(self._folder.glob(f"*/{TRIAL_FILE}"))]

    @property
    def over(self) -> list[Trial]:
        """Those that have ended, in order."""
        return [trial for trial in self.all if trial.status != "running"]

    @property
    def running(self) -> Trial | None:
        """The one that was cut off, or is at work."""
        return next((trial for trial in self.all if trial.status == "running"), None)

    def folder(self, trial: Trial) -> Path:
        """Where a trial works."""
        return self._folder / f"{trial.number:04d}"

    def begin(self, params: dict[str, Json]) -> Trial:
        """A new one, noted before anything of it is done."""
        trial = Trial(len(self.all), params)
        self.all.append(trial)
        self.folder(trial).mkdir(exist_ok=True)
        self.note(trial)
        return trial

    def note(self, trial: Trial) -> None:
        """Keep what is known of a trial now."""
        atomic.write_json(self.folder(trial) / TRIAL_FILE, asdict(trial))

    def best(self, direction: str) -> Trial | None:
        """The best of those that went to their end; the earlier of equals."""
        done = [trial for trial in self.all if trial.status == "done" and trial.value is not None]
        sign = 1 if direction == "minimize" else -1
        return min(done, key=lambda trial: (sign * (trial.value or 0.0), trial.number), default=None)

    def trim(self, keep: Trial | None) -> None:
        """Remove what trials made that are over and not the best."""
        for trial in self.over:
            if keep is not None and trial.number == keep.number:
                continue
            for path in self.folder(trial).iterdir():
                if path.name in _KEPT:
                    continue
                if path.is_dir() and not path.is_symlink():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)


def _read(path: Path) -> Trial:
    stored: dict[str, Any] = json.loads(path.read_bytes())
    return Trial(**{**stored, "told": [(epoch, value) for epoch, value in stored["told"]]})
