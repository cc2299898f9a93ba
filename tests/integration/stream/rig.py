"""A view without a project, a worker process for it, and the batch over the same events to compare with."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.processes.environment import worker_environment
from mlctl.types.jobs.features import (
    DuckdbOffline,
    FeatureColumn,
    Key,
    Marks,
    MaterializeParams,
    OnlineView,
    SqliteOnline,
    Store,
)
from mlctl.types.jobs.profile import Source
from mlctl.types.jobs.server import READY_FILE
from mlctl.types.jobs.stream import STATUS_FILE, StreamJob, log_folder

COLUMNS = {"id": "bigint", "at": "timestamp", "amount": "double", "household_id": "integer", "shop": "varchar"}
GRID_SECONDS = 2
HOUSEHOLDS = 25


def features() -> list[FeatureColumn]:
    """Every aggregate over two windows, and some with expressions and filters."""
    made = [
        FeatureColumn(
            name=f"{aggregate}_{steps}",
            aggregate=aggregate,
            column="shop" if aggregate == "count_distinct" else "amount",
            window_steps=steps,
            dtype="int64" if aggregate.startswith("count") else "float64",
        )
        for steps in (3, 40)
        for aggregate in ("sum", "count", "mean", "min", "max", "std", "last", "count_distinct")
    ]
    return [
        *made,
        FeatureColumn(name="events", aggregate="count", column=None, window_steps=40, dtype="int64"),
        FeatureColumn(
            name="share", aggregate="ratio", column="twice", over="amount", where="shop = 'a'", window_steps=40, dtype="float64"
        ),
    ]  # fmt: skip


class Draw:
    """Random events; the same for a seed."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.count = 0

    def event(self, start: datetime, end: datetime) -> dict[str, Any]:
        self.count += 1
        share = self.random.random()
        amount = round(self.random.uniform(-100, 1000) * 10 ** self.random.choice([0, 0, -8, 4]), 9)
        return {
            "id": self.count,
            "at": (start + (end - start) * share).isoformat(timespec="microseconds"),
            "amount": None if self.random.random() < 0.1 else amount,
            "household_id": self.random.randrange(HOUSEHOLDS),
            "shop": self.random.choice("abc"),
        }

    def events(self, count: int, start: datetime, end: datetime) -> list[dict[str, Any]]:
        return [self.event(start, end) for _ in range(count)]


class Rig:
    """A folder with a dataset of history, an online store, and a worker."""

    def __init__(
        self, root: Path, broker: Mapping[str, Any], history: Sequence[Mapping[str, Any]], **settings: Any
    ) -> None:
        self.root = root
        (root / "history.jsonl").write_text("".join(json.dumps(event) + "\n" for event in history))
        self.view = MaterializeParams(
            view="activity",
            entity="household",
            keys=[Key(name="household_id", type="int64")],
            source=Source(
                files=[str(root / "history.jsonl")], format="jsonl", columns=COLUMNS, key=["id"], timestamp="at"
            ),
            timestamp="at",
            source_digest="",
            where="amount IS NULL OR amount > -90",
            expressions={"twice": "amount * 2"},
            features=features(),
            grid_seconds=GRID_SECONDS,
            ttl_seconds=settings.get("ttl_seconds"),
            online=True,
            snapshot=str(root / "features" / "offline" / "activity.parquet"),
            store=Store(
                project="shop",
                registry=str(root / "features" / "registry.db"),
                online=SqliteOnline(path=str(root / "features" / "online.db")),
                offline=DuckdbOffline(),
            ),
            marks=Marks(lineage="l", object="o"),
        )
        self.job = StreamJob(
            stream="live",
            broker=dict(broker),
            topic="trips",
            group="mlctl-test",
            lateness_seconds=settings.get("lateness_seconds", 1.0),
            log=log_folder(self.view.snapshot, "activity"),
            view=self.view,
            served_until=datetime.now(UTC).isoformat(),
        )
        self.folder = root / "worker"
        self.folder.mkdir()
        self.process: subprocess.Popen[bytes] | None = None
        self._make_table()

    @property
    def log(self) -> Path:
        return Path(self.job.log)

    def start(self, *, wait: bool = True) -> None:
        """Start a worker, as an apply would."""
        (self.folder / READY_FILE).unlink(missing_ok=True)
        (self.folder / "job.json").write_text(
            json.dumps({"program": "stream", "params": self.job.model_dump(mode="json")})
        )
        with open(self.folder / "log.txt", "ab") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "mlctl.runtime", "stream", str(self.folder)],
                cwd=self.root, env=worker_environment(), stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
            )  # fmt: skip
        if wait:
            self.until((self.folder / READY_FILE).exists, "the worker is ready")

    def kill(self) -> None:
        """End it in the middle of whatever it does."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None

    def stop(self) -> dict[str, Any]:
        """Ask it to end; its result."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(timeout=60)
        self.process = None
        found: dict[str, Any] = json.loads((self.folder / "result.json").read_text())
        return found

    def status(self) -> dict[str, Any]:
        try:
            found: dict[str, Any] = json.loads((self.folder / STATUS_FILE).read_text())
        except FileNotFoundError:
            return {}
        return found

    def until(self, true: Callable[[], object], what: str, seconds: float = 60.0) -> None:
        """Wait for something; fails with the worker's log."""
        deadline = time.monotonic() + seconds
        while not true():
            log = (self.folder / "log.txt").read_text() if (self.folder / "log.txt").exists() else ""
            assert time.monotonic() < deadline, f"not in time: {what}\n{self.status()}\n{log}"
            assert self.process is None or self.process.poll() is None, log
            time.sleep(0.05)

    def online(self, keys: Sequence[int], at: datetime) -> dict[int, dict[str, Any]]:
        """What a server would read."""
        from mlctl.runtime.features.online import OnlineFeatures

        view = OnlineView(
            view="activity", keys=self.view.keys, features=[item.name for item in self.view.features],
            ttl_seconds=self.view.ttl_seconds,
        )  # fmt: skip
        with closing(OnlineFeatures(self.job.view.store, [view], now=lambda: at.replace(tzinfo=UTC))) as lookup:
            found = lookup.get([{"household_id": key} for key in keys])
        return dict(zip(keys, found, strict=True))

    def batch(self, events: Sequence[Mapping[str, Any]], at: datetime) -> dict[int, dict[str, Any]]:
        """What the batch computes over the history and these events, as of the end of a step."""
        from mlctl.runtime.features import windows
        from mlctl.runtime.profile.database import database

        folder = self.root / "batch"
        folder.mkdir(exist_ok=True)
        history = (self.root / "history.jsonl").read_text()
        (folder / "all.jsonl").write_text(history + "".join(json.dumps(dict(event)) + "\n" for event in events))
        source = self.view.source.model_copy(update={"files": [str(folder / "all.jsonl")]})
        made = folder / "made.parquet"
        with database(folder) as connection:
            windows.compute(connection, self.view.model_copy(update={"source": source}), made)
            names = [item.name for item in self.view.features]
            listed = ", ".join(f'"{name}"' for name in names)
            rows = connection.execute(
                f"SELECT household_id, {listed} FROM read_parquet('{made}') "
                f"WHERE event_timestamp = TIMESTAMP '{at.isoformat()}'"
            ).fetchall()
        return {row[0]: dict(zip(names, row[1:], strict=True)) for row in rows}

    def _make_table(self) -> None:
        from mlctl.runtime.features.stores.backend import Table
        from mlctl.runtime.features.stores.opening import open_backend

        table = Table("activity", tuple(self.view.keys), tuple(item.name for item in self.view.features))
        with closing(open_backend(self.view.store)) as backend:
            backend.make(table)


def now() -> datetime:
    """Naive, in UTC."""
    return datetime.now(UTC).replace(tzinfo=None)


def ago(seconds: float) -> datetime:
    return now() - timedelta(seconds=seconds)
