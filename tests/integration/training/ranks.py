"""Ranks alone, without a program around them: a prepared table in a folder, and what the worker makes of it."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.trainer.plan import ENDED_FILE, FEATURES_FILE, PLAN_FILE, TARGET_FILE
from mlctl.runtime.trainer.progress import read_curve
from tests import nursery

COLUMNS = ["a", "b", "c", "d", "e"]
_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "OMP_WAIT_POLICY": "PASSIVE",
    "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1",
    "GLOO_SOCKET_IFNAME": "lo",
}


class Ranks:
    """A job's folder with a small table: 200 rows to learn from, 37 to validate on, 7 steps an epoch."""

    def __init__(self, folder: Path, code: str | None = None, **recipe: Any) -> None:
        self.folder = folder
        (folder / "table").mkdir(parents=True)
        draw = np.random.default_rng(0)
        x = draw.normal(size=(237, 5)).astype(np.float32)
        y = (x[:, 0] + 0.5 * x[:, 1] * x[:, 2] + 0.3 * draw.normal(size=237) > 0).astype(np.float32)
        np.save(folder / "table" / FEATURES_FILE, x)
        np.save(folder / "table" / TARGET_FILE, y)
        model: dict[str, Any] = {"type": "mlp", "hidden": [16, 16], "dropout": recipe.pop("dropout", 0.0)}
        if code is not None:
            (folder / "code").mkdir()
            (folder / "code" / "net.py").write_text(code)
            model = {"type": "python", "file": "net.py", "function": "build", "params": recipe.pop("params", {})}
            model |= {"closure": ["net.py"], "code_digest": "", **recipe.pop("model", {})}
        asked = {
            "model": model, "layout": {"strategy": "single"}, "precision": "fp32", "epochs": 3, "batch_size": 32,
            "optimizer": {"type": "adamw", "lr": 0.01}, "checkpoint": {"every": "5 steps", "keep": 2}, "seed": 3, **recipe,
        }  # fmt: skip
        table = {
            "type": "table", "folder": str(folder / "table"), "columns": COLUMNS, "task": "binary", "train": 200, "validation": 37,
            "mean": [0.0] * 5, "std": [1.0] * 5, "offset": 0.0, "scale": 1.0,
        }  # fmt: skip
        plan = {"data": table, "model": {"columns": COLUMNS, "task": "binary", **model}, "recipe": asked}
        (folder / PLAN_FILE).write_text(json.dumps(plan))
        self.world = 1
        layout = asked["layout"]
        if isinstance(layout, Mapping):
            self.world = int(layout.get("data", 1))

    def copy(self, folder: Path) -> Ranks:
        """The same, checkpoints and all, in another folder."""
        shutil.copytree(self.folder, folder)
        other = object.__new__(Ranks)
        other.folder, other.world = folder, self.world
        return other

    def start(self, world: int | None = None, *, before: str = "") -> nursery.Born:
        """Start the ranks in a session of their own; `before` is Python that each rank runs first."""
        (self.folder / ENDED_FILE).unlink(missing_ok=True)
        count = self.world if world is None else world
        return nursery.shared().start(
            "mlctl.runtime.trainer.worker", str(self.folder), environment={**os.environ, **_ENVIRONMENT}, folder=Path.cwd(),
            before=before, ranks=count, libraries=nursery.RANKS,
        )  # fmt: skip

    def run(self, world: int | None = None, *, before: str = "", fails: bool = False) -> str:
        """Run the ranks to their end; gives what they print."""
        process = self.start(world, before=before)
        output, _ = process.communicate(timeout=240)
        assert (process.returncode != 0) == fails, output[-4000:]
        return output

    def kill_after(self, step: int, world: int | None = None) -> None:
        """Start the ranks, and SIGKILL all of them once a checkpoint of this step or a later one counts."""
        process = self.start(world)
        deadline = time.monotonic() + 120
        while not any(found >= step for found in self.checkpoints()):
            assert process.poll() is None, process.communicate()[0][-4000:]
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.005)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        while self.processes():
            time.sleep(0.02)
        assert self.ended() is None, "it came to its end before it was killed"

    def processes(self) -> list[int]:
        """The ranks at work in this folder."""
        found = []
        for place in Path("/proc").glob("[0-9]*"):
            try:
                arguments = (place / "cmdline").read_bytes().split(b"\0")
                state = (place / "stat").read_text().rpartition(")")[2].split()[0]
            except OSError:
                continue
            if str(self.folder).encode() in arguments and state != "Z":
                found.append(int(place.name))
        return found

    def checkpoints(self) -> list[int]:
        """The steps of the checkpoints that count."""
        return sorted(int(path.stem[5:]) for path in (self.folder / "checkpoints").glob("step-*.json"))

    def ended(self) -> dict[str, Any] | None:
        """What rank 0 left as its last act."""
        path = self.folder / ENDED_FILE
        return json.loads(path.read_text()) if path.exists() else None

    def lines(self) -> list[dict[str, Any]]:
        """What rank 0 told."""
        return [json.loads(line) for line in (self.folder / "ranks.jsonl").read_text().splitlines()]

    def losses(self) -> list[float]:
        """The loss of each step."""
        curve = read_curve(self.folder)
        assert curve["step"].tolist() == list(range(1, len(curve) + 1))
        found: list[float] = curve["loss"].tolist()
        return found

    def weights(self) -> bytes:
        """The trained weights."""
        return (self.folder / "weights" / "model.safetensors").read_bytes()

    def error(self) -> str:
        """What the first rank to fail says."""
        found = [json.loads(path.read_text()) for path in (self.folder / "errors").glob("rank-*.json")]
        return str(min(found, key=lambda item: item["time"])["message"])
