"""Explains some of what a server predicts: `python -m mlctl.runtime.explain.worker FOLDER LIFE READ`.

It reads the prediction log as it grows, and takes up to so many predictions a minute, drawn by chance from those that have
come since it looked last. It runs at the lowest priority, and ends with its server: LIFE is the end of a pipe that nobody
writes to. READ says how much of each file of the log is not for it.
"""

from __future__ import annotations

import json
import math
import os
import random
import sys
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from mlctl.files import atomic
from mlctl.runtime import process, secrets
from mlctl.runtime.controller.tail import Tail
from mlctl.runtime.explain.explanation import failed, line
from mlctl.runtime.middleware.log import PredictionWriter
from mlctl.types import job as contract
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.observe import Explaining
from mlctl.types.jobs.server import ServerJob
from mlctl.types.value import digest

BACKGROUND_FILE = "background.json"  # in the release's folder: what explanations start from
_LOOK_SECONDS = 1.0
_ENOUGH, _MOST_BACKGROUND = 10, 100
_KEPT_SECONDS = 3600.0  # how long predictions may wait for a background
_LOWEST = 19


class Sampler:
    """Lets so many through a minute, by chance, and saves up at most ten seconds' worth."""

    def __init__(self, per_minute: int, now: float, draw: random.Random) -> None:
        self._rate, self._draw = per_minute / 60, draw
        self._most = max(1.0, per_minute / 6)
        self._saved, self._at = 1.0, now

    def take(self, rows: Sequence[Mapping[str, Any]], now: float) -> list[Mapping[str, Any]]:
        """Some of the rows."""
        self._saved = min(self._most, self._saved + (now - self._at) * self._rate)
        self._at = now
        number = min(len(rows), int(self._saved))
        self._saved -= number
        return self._draw.sample(list(rows), number)


class Explainer:
    """Explains rows of the log of one version."""

    def __init__(self, job: ServerJob, asked: Explaining, folder: Path) -> None:
        self._job, self._asked, self._folder = job, asked, folder
        self._columns = list(job.serving.columns)
        self._method: Any = None
        self._refused = ""
        self._background: list[list[Any]] = _stored(folder / BACKGROUND_FILE, self._columns)
        self._named = digest(self._background)[:12] if self._background else ""

    def eligible(self, row: Mapping[str, Any]) -> bool:
        """Whether it is a prediction of this version, with its features."""
        features = row.get("features")
        return (
            (row.get("model"), row.get("version")) == (self._job.model.name, self._job.model.version)
            and isinstance(features, dict)
            and row.get("score") is not None
            and set(self._columns) <= features.keys()
        )

    def learn(self, rows: Sequence[Mapping[str, Any]]) -> bool:
        """Take rows for the background while it is not complete; whether it is."""
        if not self._named:
            self._background += [self._values(row) for row in rows]
            if len(self._background) < _ENOUGH:
                return False
            self._background = self._background[:_MOST_BACKGROUND]
            atomic.write_json(self._folder / BACKGROUND_FILE, {"columns": self._columns, "rows": self._background})
            self._named = digest(self._background)[:12]
        return True

    def explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """A line for the file of explanations."""
        self._prepare()
        began = time.perf_counter()
        try:
            found = failed(row, self._refused) if self._refused else self._explain(row)
        except Exception as error:  # a model's code may raise anything
            found = failed(row, f"{type(error).__name__}: {error}")
        return {
            "ts": datetime.now(UTC).isoformat(timespec="microseconds"), **found, "method": None if self._method is None else self._method.name,
            "background": self._named, "seconds": round(time.perf_counter() - began, 6),
        }  # fmt: skip

    def _prepare(self) -> None:
        """Load the model, once. Why it cannot be explained is said once, and kept with each prediction."""
        if self._method is not None or self._refused:
            return
        from mlctl.runtime.explain.methods import choose
        from mlctl.runtime.server.model import load

        folder = Path(self._job.model.folder)
        try:
            model = load(folder, self._columns)
            self._method = choose(self._asked.method, folder, self._columns, model, self._background)
            print(f"predictions are explained by `{self._method.name}`", flush=True)
        except (ValueError, MlctlError) as error:
            self._refused = error.diagnostics[0].summary if isinstance(error, MlctlError) else str(error)
            print(f"predictions are not explained: {self._refused}", flush=True)

    def _explain(self, row: Mapping[str, Any]) -> dict[str, Any]:
        from mlctl.runtime.explain.methods import single

        score = single(row["score"])
        return line(row, self._method.explain(self._values(row), score), score, self._asked.tolerance)

    def _values(self, row: Mapping[str, Any]) -> list[Any]:
        return [row["features"][name] for name in self._columns]


def main(folder: Path, life: int, read: dict[str, int]) -> int:
    """Explain until the server ends."""
    os.nice(_LOWEST)
    threading.Thread(target=_watch, args=(life,), name="life", daemon=True).start()
    params = secrets.known().opened(json.loads((folder / contract.JOB_FILE).read_bytes())["params"])
    job = ServerJob.model_validate(params)
    asked = job.observe.explain
    if asked is None or job.log is None:
        return 0
    explainer, tail = Explainer(job, asked, folder), Tail([Path(job.log.folder)], read)
    writer = PredictionWriter(
        Path(asked.folder),
        lambda rows: print(f"{rows} explanations were lost", flush=True),
        keep_days=job.log.keep_days,
    )
    sampler = Sampler(asked.per_minute, time.monotonic(), random.Random())  # noqa: S311
    waiting: list[Mapping[str, Any]] = []
    while True:
        try:
            rows = [row for row in tail.read() if explainer.eligible(row)]
            waiting += sampler.take(rows, time.monotonic())
            if (rows or waiting) and explainer.learn(rows):
                for row in waiting:
                    writer.write(explainer.explain(row))
                waiting = []
            waiting = waiting[-math.ceil(asked.per_minute * _KEPT_SECONDS / 60) :]
        except OSError:  # a full disk, say
            traceback.print_exc()
        time.sleep(_LOOK_SECONDS)


def _stored(path: Path, columns: Sequence[str]) -> list[list[Any]]:
    try:
        stored = json.loads(path.read_bytes())
        return [list(row) for row in stored["rows"]] if stored["columns"] == list(columns) else []
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _watch(life: int) -> None:
    """End with the server."""
    os.read(life, 1)
    os._exit(0)


if __name__ == "__main__":
    process.begin("explain")
    process.leave(main(Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])))
