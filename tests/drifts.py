"""Drifts by construction: eight features of which some hang together, a score, and what can happen to them after training."""

from __future__ import annotations

import json
from array import array
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from mlctl.providers.evidently.reference import frozen
from mlctl.runtime.monitor import freeze
from mlctl.runtime.monitor.data import judge
from mlctl.runtime.monitor.window import Numbers, Window
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.tabular.profile import numeric_profile
from mlctl.stats.drift import MARGINS, TOGETHER, Verdict
from mlctl.types.jobs.monitor import SCORE, DataPart, Profile
from mlctl.types.jobs.reference import ENCODING_FILE, TENSORS_FILE, FrozenReference

NAMES = [f"x{index}" for index in range(8)]
KINDS = ("none", "mean", "variance", "correlation", "segment", "labels", "concept")
METHODS = ("ks", "psi", "wasserstein", "jensen_shannon")
_CLASSES_APART = np.array([0.9, 0.9, 0.6, 0.6, 0, 0, 0, 0])
_TURNED, _MOVED = 0.6, 4


def draw(random: np.random.Generator, rows: int, kind: str = "none") -> np.ndarray:
    """Rows of eight features. A concept changes what comes of them, so that nothing of it is to be seen in them."""
    outcome = random.random(rows) < (0.6 if kind == "labels" else 0.5)
    x = random.normal(size=(rows, 8))
    turned = -_TURNED if kind == "correlation" else _TURNED
    x[:, 1] = turned * x[:, 0] + np.sqrt(1 - turned**2) * x[:, 1]
    x[:, 5] = 0.5 * x[:, 6] + np.sqrt(0.75) * x[:, 5]
    x += np.outer(outcome - 0.5, _CLASSES_APART)
    if kind == "mean":
        x[:, _MOVED] += 0.25
    if kind == "variance":
        x[:, _MOVED] *= 1.3
    if kind == "segment":
        x[random.random(rows) < 0.05, 4:7] += 2.5
    return x


def score(x: np.ndarray) -> np.ndarray:
    """What a model makes of rows."""
    return 1 / (1 + np.exp(-(x @ np.array([0.8, 0.8, 0.6, 0.6, 0.1, 0.1, 0, 0]))))


class Watched:
    """A frozen reference of 5,000 rows, and what each method says of windows."""

    def __init__(self, folder: Path, together: Sequence[str], seed: int = 0, rows: int = 5000) -> None:
        random = np.random.default_rng(seed)
        x = draw(random, rows).astype(np.float32)
        (folder / "table").mkdir()
        np.save(folder / "table" / "features.npy", x)
        (folder / "table" / "manifest.json").write_text(json.dumps({"columns": NAMES, "train": rows}))
        columns = {name: numeric_profile(x[:, index]) for index, name in enumerate(NAMES)}
        held_out = numeric_profile(score(draw(random, rows)))
        self.reference: FrozenReference = frozen(
            Profile.model_validate({"rows": rows, "columns": columns, "score": held_out})
        )
        asked = {
            "profile": str(folder / "training_profile.json"), "rows": None, "columns": dict.fromkeys(NAMES, "numeric"),
            "methods": list(together), "min_rows": 100,
        }  # fmt: skip
        if together:
            freeze.main(asked, Report(folder))
        joint = {
            "methods": list(together),
            "encoding": str(folder / ENCODING_FILE),
            "tensors": str(folder / TENSORS_FILE),
        }
        self.part = DataPart.model_validate(
            {
                "reference": "",
                "tests": dict.fromkeys([*NAMES, SCORE], METHODS),
                "together": joint if together else None,
                "alpha": 0.05,
                "correction": "holm",
                "margins": {name.value: margin for name, margin in MARGINS.items()},
                "min_rows": 100,
                "window_seconds": 1.0,
            }
        )

    def alarms(self, x: np.ndarray) -> set[str]:
        """The methods that alarm: those of single features, those of the score as `score METHOD`, and the joint ones."""
        columns: dict[str, object] = {name: Numbers(array("d", x[:, index])) for index, name in enumerate(NAMES)}
        window = Window(
            columns,
            array("d", score(x)),
            array("l", [0] * len(x)),
            ["1"],
            len(x),
            len(x),
            drawn=list(map(tuple, x.tolist())),
        )  # type: ignore[arg-type]
        found = judge(self.part, self.reference, window).findings
        told = [(item.column, item.method.value) for item in found if item.verdict is Verdict.ALARM]
        return {f"score {method}" if column == SCORE else method for column, method in told}


def caught(watched: Watched, kind: str, rows: int, runs: int, seed: int = 1) -> dict[str, float]:
    """How often each method alarms of a kind of drift."""
    random = np.random.default_rng(seed)
    count = dict.fromkeys([*METHODS, *(f"score {name}" for name in METHODS), *TOGETHER], 0)
    for _ in range(runs):
        for name in watched.alarms(draw(random, rows, kind)):
            count[name] += 1
    return {str(name): hits / runs for name, hits in count.items()}
