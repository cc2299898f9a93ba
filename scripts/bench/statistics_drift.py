"""Data drift, simulated: false alarms of a whole run at any size, what is found, and what a run costs, beside Evidently.

    .venv/bin/python scripts/bench/statistics_drift.py [--quick] [--caught RUNS]

A run tests ten columns of five shapes by four methods each. Evidently gets the same streams and its own choice of test and
threshold for each column, and a run of it alarms when a column does; so do fixed thresholds on a stability index.
`--caught` prints which kind of drift each method finds instead. `statistics.py` calls `run` and prints its lines among others.
"""

from __future__ import annotations

import argparse
import math
import sys
import tempfile
import time
import warnings
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from statistics_line import Line

from mlctl.runtime.monitor.compare import compare
from mlctl.runtime.monitor.window import Numbers
from mlctl.stats import drift
from mlctl.stats.drift import MARGINS, Comparison, Method, Verdict, decide
from mlctl.stats.sketch import classes, single, sketch
from mlctl.types.jobs.reference import NumericColumn
from tests.drifts import KINDS, METHODS, NAMES, Watched, caught, draw

Draw = Callable[[np.random.Generator, int], np.ndarray]
SHAPES: dict[str, Draw] = {
    "normal": lambda random, n: random.normal(size=n),
    "lognormal": lambda random, n: random.lognormal(0, 1, n),
    "counts": lambda random, n: random.poisson(1.0, n).astype(float),
    "mostly zero": lambda random, n: random.lognormal(0, 1, n) * (random.random(n) < 0.1),
    "score": lambda random, n: random.beta(2, 5, n),
}
COLUMNS = [*SHAPES, *SHAPES]
SEED = 20_261_122
FEW_ROWS = 2000  # up to which Evidently's tests are quick enough to be made for each run


def run(quick: bool) -> list[Line]:
    """All of it; `quick` with a few runs of each."""
    return [*false_alarms(quick), *found(quick), *heavy_tail(quick), *cost(quick)]


def false_alarms(quick: bool) -> list[Line]:
    """Runs without drift in which anything alarms: on p-values alone, and with the margins as they are by default."""
    lines = []
    plan = {100: (200, 2000), 500: (200, 2000), 5000: (200, 5000), 50_000: (100, 50_000), 1_000_000: (40, 100_000)}
    for rows, (runs, before) in plan.items():
        runs = max(runs // 10, 4) if quick else runs
        if quick and rows > 100_000:
            runs = 2
        random = np.random.default_rng(SEED + rows)
        sure = alarms = theirs = fixed = 0
        compared = min(runs, 40 if rows <= FEW_ROWS * 5 else 10)
        for index in range(runs):
            reference = [SHAPES[name](random, before) for name in COLUMNS]
            current = [SHAPES[name](random, rows) for name in COLUMNS]
            findings = judged(reference, current)
            sure += any((item.p_adjusted or 0.0) < 0.05 for item in findings)
            alarms += any(item.verdict is Verdict.ALARM for item in findings)
            if index < compared:
                theirs += evidently(reference, current)
                fixed += any(item.method is Method.PSI and (item.effect or 0.0) >= 0.1 for item in findings)
        peers = {"Evidently's defaults": theirs / compared, "PSI >= 0.1": fixed / compared}
        lines.append(_share(f"drift: false alarms of a run, {rows:,} rows", alarms, runs, "<= 0.05", peers))
        lines.append(_share(f"drift: the same on p-values alone, {rows:,} rows", sure, runs, "<= 0.05", {}))
    return lines


def found(quick: bool) -> list[Line]:
    """Runs in which one of ten columns moved by a tenth of a standard deviation, and is named."""
    lines = []
    for rows, before in ((5000, 5000), (5000, 100_000)):
        runs = 20 if quick else 200
        random = np.random.default_rng(SEED + before)
        hits = theirs = fixed = 0
        compared = min(runs, 40)
        for index in range(runs):
            reference = [SHAPES[name](random, before) for name in COLUMNS]
            current = [SHAPES[name](random, rows) for name in COLUMNS]
            current[0] = current[0] + 0.1
            findings = judged(reference, current)
            hits += any(item.verdict is Verdict.ALARM and item.column == "0" for item in findings)
            if index < compared:
                theirs += evidently(reference[:1], current[:1])
                fixed += drift.psi(*_counted(reference[0], current[0])).effect >= 0.1
        peers = {"Evidently's defaults": theirs / compared, "PSI >= 0.1": fixed / compared}
        name = f"drift: 0.1 standard deviations found, {rows:,} rows, reference {before:,}"
        lines.append(_share(name, hits, runs, ">= 0.95", peers))
    return lines


def heavy_tail(quick: bool) -> list[Line]:
    """A lognormal that moved by half a standard deviation, where bins made of both sides put nearly all rows into one."""
    runs = 5 if quick else 40
    random = np.random.default_rng(SEED)
    hits, theirs = 0, {"psi": 0, "jensenshannon": 0}
    for _ in range(runs):
        reference, current = random.lognormal(0, 2, 50_000), random.lognormal(0, 2, 50_000)
        current = current + 0.5 * reference.std()
        hits += any(item.verdict is Verdict.ALARM for item in judged([reference], [current], ("psi", "jensen_shannon")))
        for name in theirs:
            theirs[name] += evidently([reference], [current], name)
    peers = {f"Evidently's {name}": count / runs for name, count in theirs.items()}
    return [_share("drift: half a standard deviation of a lognormal found by classes", hits, runs, ">= 0.95", peers)]


def cost(quick: bool) -> list[Line]:
    """Seconds for the tests of a run, without reading its window."""
    lines = []
    for columns, rows, bar in ((10, 2000, "<= 0.1"), (50, 100_000, "<= 5")):
        random = np.random.default_rng(SEED)
        reference = [frozen(random.normal(size=rows)) for _ in range(columns)]
        current = [random.normal(size=rows) for _ in range(columns)]
        took = []
        for _ in range(1 if quick else 5):
            drift_numbers_forgets()
            began = time.perf_counter()
            judged_by(reference, current)
            took.append(time.perf_counter() - began)
        lines.append(
            Line(f"drift: seconds for {columns} columns of {rows:,} rows", sorted(took)[len(took) // 2], min(took), max(took), bar, {})
        )  # fmt: skip
    return lines


def drift_numbers_forgets() -> None:
    """The simulated law is part of what a run costs."""
    from mlctl.stats.drift_numbers import _bridges

    _bridges.cache_clear()


def frozen(values: np.ndarray) -> NumericColumn:
    """A column as a monitor freezes it."""
    made = single(sketch(values.astype(np.float32)))
    borders, counts = classes(made)
    return NumericColumn(nulls=0, sketch=made, borders=borders, counts=counts)


def judged(
    reference: Sequence[np.ndarray], current: Sequence[np.ndarray], methods: Sequence[str] = METHODS
) -> list[Any]:
    """What a monitor decides, column by column."""
    return judged_by([frozen(values) for values in reference], current, methods)


def judged_by(
    reference: Sequence[NumericColumn], current: Sequence[np.ndarray], methods: Sequence[str] = METHODS
) -> list[Any]:
    """The same with a reference that was frozen before."""
    tests: list[tuple[str, Method, Comparison]] = []
    for index, (before, now) in enumerate(zip(reference, current, strict=True)):
        for method, item in compare(before, Numbers(array("d", now)), methods, 100).items():
            tests.append((str(index), method, item))
    return decide(tests, 0.05, "holm", MARGINS, 100)


def evidently(reference: Sequence[np.ndarray], current: Sequence[np.ndarray], method: str | None = None) -> bool:
    """Whether Evidently calls any column drifted, by its own choice of test and threshold for each."""
    import pandas as pd

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from evidently.legacy.calculations.stattests import get_stattest
        from evidently.legacy.core import ColumnType

        for before, now in zip(reference, current, strict=True):
            sides = pd.Series(before), pd.Series(now)
            if get_stattest(*sides, ColumnType.Numerical, method)(*sides, ColumnType.Numerical, None).drifted:
                return True
    return False


def _counted(reference: np.ndarray, current: np.ndarray) -> tuple[list[float], list[float]]:
    borders = drift.cuts(reference)
    return drift.counts(reference, borders, 0), drift.counts(current, borders, 0)


def _share(name: str, hits: int, runs: int, bar: str, peers: dict[str, float]) -> Line:
    """A share with Wilson's 95 % interval."""
    z, share = 1.96, hits / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return Line(name, share, max(0.0, middle - half), min(1.0, middle + half), bar, peers)


def print_caught(runs: int) -> None:
    """A table of which drift each method finds: 8 features, 5,000 rows of reference, 1,000 of a window."""
    together = ["domain_classifier", "pca", "autoencoder"]
    with tempfile.TemporaryDirectory() as folder:
        watched = Watched(Path(folder), together)
        shares = {kind: caught(watched, kind, 1000, runs) for kind in KINDS}
        uncorrected = {kind: _uncorrected(watched, kind, runs) for kind in KINDS}
    print(f"| method | {' | '.join(KINDS)} |\n|{'---|' * (len(KINDS) + 1)}")
    print(f"| ks p < 0.05, any feature | {' | '.join(f'{uncorrected[kind]:.2f}' for kind in KINDS)} |")
    for method in shares["none"]:
        print(f"| {method} | {' | '.join(f'{shares[kind][method]:.2f}' for kind in KINDS)} |", flush=True)


def _uncorrected(watched: Watched, kind: str, runs: int) -> float:
    random = np.random.default_rng(1)
    hits = 0
    for _ in range(runs):
        x = draw(random, 1000, kind)
        columns = [watched.reference.columns[name] for name in NAMES]
        hits += any(
            drift.ks(column.sketch, x[:, index]).p_value < 0.05
            for index, column in enumerate(columns)
            if isinstance(column, NumericColumn)
        )
    return hits / runs


def main() -> None:
    """Print the lines, or the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true")
    parser.add_argument("--caught", type=int, default=0, metavar="RUNS")
    asked = parser.parse_args()
    if asked.caught:
        print_caught(asked.caught)
        return
    for line in run(asked.quick):
        peers = ", ".join(f"{name} {value:.3g}" for name, value in line.peers.items())
        print(f"{line.name}: {line.value:.3g} ({line.low:.3g} to {line.high:.3g})  {line.bar}  {peers}", flush=True)


if __name__ == "__main__":
    main()
