"""Online features under load: P50 and P99 of a read, ours against Feast's, and parity after random pushes.

    python scripts/bench/data_online.py [--keys 100000] [--seconds 6] [--stores sqlite redis]

Three readers and two writers, each a process, use one store at once: every other second ours, every other second Feast's
`get_online_features` on the same rows. After that random pushes, late events and expiries go in, and each of the keys is
compared with a plain model of what should be served.
"""

from __future__ import annotations

import argparse
import math
import multiprocessing
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from mlctl.processes.environment import QUIET
from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.features.stores.writer import OnlineWriter
from mlctl.types.jobs.features import (
    FeatureColumn,
    Key,
    Marks,
    MaterializeParams,
    OnlineView,
    Store,
    ViewSource,
)
from mlctl.types.jobs.profile import Source

T = datetime(2026, 1, 1, tzinfo=UTC)
TTL = 7 * 86_400
USER = Key(name="user", type="int64")
FEATURES = {"amount_7d": "float64", "visits_7d": "int64", "largest_30d": "float64"}
SOURCE = ViewSource(view="spend", keys=[USER], path="none.parquet", features=FEATURES, ttl_seconds=TTL)  # type: ignore[arg-type]
VIEW = OnlineView(view="spend", keys=[USER], features=list(FEATURES), ttl_seconds=TTL)
READERS, WRITERS = 3, 2
SIZES = (1, 100)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--keys", type=int, default=100_000)
    parser.add_argument("--seconds", type=float, default=6.0, help="for each number of keys and each of the two ways")
    parser.add_argument("--stores", nargs="+", default=["sqlite", "redis"], choices=["sqlite", "redis"])
    options = parser.parse_args()
    os.environ.update(QUIET)
    failed = False
    for kind in options.stores:
        folder = Path(tempfile.mkdtemp(prefix="mlctl-online-"))
        try:
            os.chdir(folder)
            with server(kind, folder) as online:
                store = Store.model_validate(
                    {"project": "bench", "registry": "registry.db", "online": online, "offline": {"type": "duckdb"}}
                )
                failed |= measure(kind, store, options.keys, options.seconds)
        finally:
            os.chdir("/")
            shutil.rmtree(folder, ignore_errors=True)
    return int(failed)


def measure(kind: str, store: Store, keys: int, seconds: float) -> bool:
    """One store: fill it, read it under load, spoil nothing. Gives whether parity failed."""
    run(declare, store, keys)
    began = time.monotonic()
    run(fill, store, keys)
    print(f"{kind}: {keys:,} keys filled in {time.monotonic() - began:.1f} s", flush=True)
    for size in SIZES:
        found = under_load(store, keys, size, seconds)
        lines = {name: (percentile(times, 0.5), percentile(times, 0.99), len(times)) for name, times in found.items()}
        for name, (half, most, count) in lines.items():
            print(f"{kind}: {size:>3} keys, {name:<5}  P50 {half:6.2f} ms  P99 {most:6.2f} ms  {count:,} reads")
        ours, feast = lines["ours"], lines["feast"]
        print(
            f"{kind}: {size:>3} keys, Feast takes {feast[0] / ours[0]:.1f}x at P50 and {feast[1] / ours[1]:.1f}x at P99"
        )
    wrong = run(parity, store, keys)
    print(f"{kind}: {wrong} mismatches over {keys:,} keys after random pushes, late events and expiries", flush=True)
    return bool(wrong)


def declare(store: Store, keys: int) -> None:
    """The view in Feast's registry, as a materialization declares it."""
    import pandas as pd

    from mlctl.runtime.features import feast_store

    frame = {"user": [0], "event_timestamp": [T], "amount_7d": [0.0], "visits_7d": [0], "largest_30d": [0.0]}
    pd.DataFrame(frame).to_parquet("none.parquet", coerce_timestamps="us", allow_truncated_timestamps=True)
    with feast_store.changing(store) as opened:
        feast_store.declare(opened, params(store))


def params(store: Store) -> MaterializeParams:
    columns = [
        FeatureColumn(name=name, aggregate=None, column=name, window_steps=0, dtype=kind)  # type: ignore[arg-type]
        for name, kind in FEATURES.items()
    ]
    return MaterializeParams(
        view="spend", entity="user", keys=[USER], source=Source(files=[], format="parquet", columns={}), timestamp="at",
        source_digest="", features=columns, grid_seconds=0, ttl_seconds=TTL, online=True, snapshot="none.parquet", store=store,
        marks=Marks(lineage="bench", object="feature_views.spend#"),
    )  # fmt: skip


def fill(store: Store, keys: int) -> None:
    from mlctl.runtime.features.stores.backend import open_backend
    from mlctl.runtime.features.stores.fill import fill as write
    from mlctl.runtime.report import Report

    at = int(T.timestamp()) * 1_000_000
    records = ((user, at, user * 0.5, user, user * 0.25) for user in range(keys))
    backend = open_backend(store)
    write(backend, params(store), records, T, "bench", Report(Path()))
    backend.close()


def under_load(store: Store, keys: int, size: int, seconds: float) -> dict[str, list[float]]:
    """Read times in milliseconds of both ways, measured in turns of a second by the same readers."""
    spawn = multiprocessing.get_context("spawn")
    stop, found = spawn.Event(), spawn.Queue()
    ready = spawn.Barrier(READERS + WRITERS + 1)
    writers = [spawn.Process(target=write_on, args=(store, keys, seed, ready, stop)) for seed in range(WRITERS)]
    readers = [
        spawn.Process(target=read_on, args=(store, keys, size, seed, seconds, ready, found)) for seed in range(READERS)
    ]
    for process in [*writers, *readers]:
        process.start()
    ready.wait()
    results = [found.get() for _ in readers]
    stop.set()
    for process in [*writers, *readers]:
        process.join()
    return {name: [item for result in results for item in result[name]] for name in ("ours", "feast")}


def write_on(store: Store, keys: int, seed: int, ready: Any, stop: Any) -> None:
    """Push 100 rows at a time, newer and newer, with a pause as a stream has it."""
    chance, step = random.Random(seed), 0
    writer = OnlineWriter(store, SOURCE)
    ready.wait()
    while not stop.is_set():
        step += 1
        at = T + timedelta(seconds=step)
        writer.write([({"user": chance.randrange(keys)}, at, values(chance)) for _ in range(100)])
        time.sleep(0.02)


def read_on(store: Store, keys: int, size: int, seed: int, seconds: float, ready: Any, found: Any) -> None:
    """In turns, so that both ways meet the same load."""
    from mlctl.runtime.features.feast_store import open_store

    chance = random.Random(100 + seed)
    lookup, feast = OnlineFeatures(store, [VIEW]), open_store(store)
    references = [f"spend:{name}" for name in FEATURES]

    def ours(rows: list[dict[str, int]]) -> None:
        lookup.get(rows)

    def theirs(rows: list[dict[str, int]]) -> None:
        feast.get_online_features(references, rows).to_dict(include_event_timestamps=True)

    ways = {"ours": ours, "feast": theirs}
    times: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way([{"user": 0}])
    ready.wait()
    end = time.monotonic() + 2 * seconds
    while time.monotonic() < end:
        name = "ours" if int(time.monotonic()) % 2 else "feast"
        rows = [{"user": chance.randrange(keys)} for _ in range(size)]
        began = time.perf_counter()
        ways[name](rows)
        times[name].append(1000 * (time.perf_counter() - began))
        time.sleep(0.005)
    found.put(times)


def parity(store: Store, keys: int) -> int:
    """Push at random: new, late, of the same time, expired. What is served must be what a dict of the newest row says."""
    chance = random.Random(7)
    now = T + timedelta(days=30)
    lookup = OnlineFeatures(store, [VIEW], now=lambda: now)
    newest: dict[int, tuple[datetime, dict[str, Any]]] = {}
    writer = OnlineWriter(store, SOURCE, now=lambda: now)
    # The load left rows of its own: one push that is newer than those gives every key a known one.
    first = [(user, T + timedelta(days=1), values(chance)) for user in range(keys)]
    later = [(chance.randrange(keys), T + timedelta(days=1, seconds=chance.randrange(29 * 86_400)), values(chance)) for _ in range(2 * keys)]  # fmt: skip
    pushes = [*first, *later]
    for start in range(0, len(pushes), 1000):
        portion = pushes[start : start + 1000]
        writer.write([({"user": user}, at, row) for user, at, row in portion])
        for user, at, row in portion:
            if user not in newest or at >= newest[user][0]:
                newest[user] = at, row
    wrong = expired = 0
    nothing = dict.fromkeys(FEATURES)
    for start in range(0, keys, 1000):
        asked = range(start, min(start + 1000, keys))
        for user, served in zip(asked, lookup.get([{"user": user} for user in asked]), strict=True):
            at, row = newest[user]
            alive = (now - at).total_seconds() <= TTL
            expired += not alive
            wrong += served != (row if alive else nothing)
    assert expired > keys // 10 or keys < 1000, "too few keys expired for the comparison to say much"
    return wrong


def values(chance: random.Random) -> dict[str, Any]:
    return {
        "amount_7d": None if chance.random() < 0.05 else chance.random(),
        "visits_7d": chance.randrange(50),
        "largest_30d": chance.gauss(0, 100),
    }


def percentile(times: list[float], level: float) -> float:
    return sorted(times)[min(len(times) - 1, math.ceil(level * len(times)) - 1)]


def run(target: Any, *arguments: Any) -> Any:
    """In a process of its own, so that what one step imports does not weigh on the next."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(target, arguments)


@contextmanager
def server(kind: str, folder: Path) -> Iterator[dict[str, Any]]:
    """The block `online` of a store that runs."""
    if kind == "sqlite":
        yield {"type": "sqlite", "path": "online.db"}
        return
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no", "--dir", str(folder)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=0.1):
                break
            time.sleep(0.05)
        yield {"type": "redis", "url": f"redis://127.0.0.1:{port}"}
    finally:
        process.send_signal(signal.SIGINT)
        process.wait()


if __name__ == "__main__":
    sys.exit(main())
