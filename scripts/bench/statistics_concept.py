"""Concept drift and labels, simulated: how soon a detector sees it, how long it runs without, what labels and scores can show.

    .venv/bin/python scripts/bench/statistics_concept.py [--quick]

Streams of errors are 0.10 for 5,000 rows, and then risen for 3,000. All detectors get the same ones: river's with their defaults,
ours with a bound of 0.10 and a run length of 50,000. `statistics.py` calls `run` and prints its lines among the others.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from river import drift
from river.drift import binary
from statistics_line import Line

from mlctl.stats.calibration import estimate, expected
from mlctl.stats.e_detector import EDetector
from mlctl.stats.label_budget import explained, power, power_with_confidence
from mlctl.stats.limits import binomial_limits

BASELINE, RUN_LENGTH, BEFORE, AFTER = 0.10, 50_000, 5_000, 3_000
PEERS: dict[str, Callable[[], Any]] = {
    "ADWIN": drift.ADWIN,
    "PageHinkley": drift.PageHinkley,
    "DDM": binary.DDM,
    "EDDM": binary.EDDM,
    "HDDM_A": binary.HDDMA,
    "HDDM_W": binary.HDDMW,
}


def run(quick: bool) -> list[Line]:
    """All of it; `quick` with a tenth of the streams."""
    runs = 20 if quick else 200
    return [
        *delays(runs),
        *run_lengths(runs),
        *measured(runs),
        *estimates(3 if quick else 40),
        *budgets(200 if quick else 2000),
    ]


def delays(runs: int) -> list[Line]:
    """Median rows from the change to its being seen, among streams without an earlier alarm, and how many are seen at all."""
    lines = []
    for risen in (0.13, 0.15, 0.20, 0.30):
        random = np.random.default_rng(round(risen * 1000))
        streams = [_stream(random, risen) for _ in range(runs)]
        ours = [_ours(stream, BASELINE) for stream in streams]
        seen = {
            name: [_theirs(make(), stream) for stream in streams[: runs if name == "ADWIN" else max(runs // 10, 2)]]
            for name, make in PEERS.items()
        }
        shown = {name: _delay(found) for name, found in seen.items()}
        ratio = shown["ADWIN"] / _delay(ours)
        low, high = _bootstrap(random, seen["ADWIN"], ours)
        change = f"{BASELINE:.2f} -> {risen:.2f}"
        lines.append(Line(f"e-detector {change}: median delay", _delay(ours), *_quartiles(ours), "", shown))
        lines.append(Line(f"e-detector {change}: times faster than ADWIN", ratio, low, high, ">= 2", {}))
        found = {name: _share(items) for name, items in seen.items()}
        lines.append(
            Line(
                f"e-detector {change}: seen within {AFTER:,} rows",
                _share(ours),
                *_wilson(_share(ours), runs),
                ">= 0.95",
                found,
            )
        )
    return lines


def run_lengths(runs: int) -> list[Line]:
    """Mean rows without drift until an alarm, by a shorter run length; false alarms in 5,000 rows at the one that is stated."""
    random = np.random.default_rng(77)
    stated = 1_000
    lengths = []
    for _ in range(runs):
        detector = EDetector(BASELINE, stated)
        while detector.crossing is None:
            detector.feed((random.random(1_000) < BASELINE).astype(float).tolist())
        lengths.append(detector.crossing.row)
    error = 1.96 * float(np.std(lengths, ddof=1)) / runs**0.5
    mean = float(np.mean(lengths))
    calm = [(random.random(BEFORE) < BASELINE).astype(float).tolist() for _ in range(runs)]
    false = sum(_fed(stream, BASELINE).crossing is not None for stream in calm) / runs
    theirs = {name: sum(_first(make(), stream) is not None for stream in calm) / runs for name, make in PEERS.items()}
    return [
        Line(f"e-detector: mean rows to a false alarm, {stated:,} stated", mean, mean - error, mean + error, f">= {stated}", {}),
        Line(f"e-detector: false alarms within {BEFORE:,} rows", false, *_wilson(false, runs), f"<= {BEFORE / RUN_LENGTH:g}", theirs),
    ]  # fmt: skip


def measured(runs: int) -> list[Line]:
    """The bound from an evaluation of 2,000 rows: its upper limit, beside the estimate itself."""
    random = np.random.default_rng(78)
    false, naive, delay = 0, 0, []
    for _ in range(runs):
        wrong = int(random.binomial(2_000, BASELINE))
        bound = binomial_limits(wrong, 2_000, 0.95)[1]
        stream = _stream(random, 0.20)
        false += _fed(stream[:BEFORE], bound).crossing is not None
        naive += _fed(stream[:BEFORE], wrong / 2_000).crossing is not None
        delay.append(_ours(stream, bound))
    share = false / runs
    return [
        Line("bound measured on 2,000 rows: false alarms within 5,000 rows", share, *_wilson(share, runs), "<= 0.1", {"the estimate as bound": naive / runs}),
        Line("bound measured on 2,000 rows: median delay at 0.20", _delay(delay), *_quartiles(delay), "", {}),
    ]  # fmt: skip


def estimates(runs: int) -> list[Line]:
    """How often the interval of a metric without labels, of 90 %, holds what labels would show, when requests become harder."""
    lines = []
    for metric in ("error_rate", "log_loss", "roc_auc"):
        random = np.random.default_rng(79)
        held = 0
        for _ in range(runs):
            score = _scores(random, 3_000, 2.0)
            target = (random.random(3_000) < score).astype(float)
            now = _scores(random, 3_000, 1.2)
            found = estimate(metric, (score, target), now, (now >= 0.5).astype(float), 0.05)
            large = _scores(random, 200_000, 1.2)
            held += found.low <= expected(metric, large, large, (large >= 0.5).astype(float)) <= found.high
        lines.append(
            Line(f"estimated {metric}: the 90 % interval holds", held / runs, *_wilson(held / runs, runs), ">= 0.8", {})
        )
    return lines


def budgets(runs: int) -> list[Line]:
    """The power of so many labels against a rise from 0.15 to 0.18: exact, and simulated with the help of confidence."""
    random = np.random.default_rng(80)
    score = _scores(random, 200_000, 3.2)
    chance = np.minimum(score, 1 - score)
    rate = float(chance.mean())
    flip = 0.03 / (1 - 2 * rate)  # of all outcomes, so that the error rate rises by 0.03
    share = explained(score[:20_000].tolist(), (random.random(20_000) < score[:20_000]).astype(float).tolist())
    lines = []
    for labels in (100, 400, 800):
        hits = 0
        for _ in range(runs):
            rows = random.integers(0, len(score), labels)
            wrong = (random.random(labels) < chance[rows]) ^ (random.random(labels) < flip)
            rest = wrong - chance[rows]
            hits += (rate + rest.mean() - rate) / (rest.std(ddof=1) / labels**0.5) > 1.645
        helped = power_with_confidence(labels, rate, 0.03, 0.05, share)
        exact = power(labels, rate, 0.03, 0.05)
        lines.append(
            Line(
                f"{labels} labels against 3 points: power with confidence",
                hits / runs,
                *_wilson(hits / runs, runs),
                "",
                {"labels alone": exact, "as foretold": helped},
            )
        )
    return lines


def _stream(random: Any, risen: float) -> list[float]:
    parts = [random.random(BEFORE) < BASELINE, random.random(AFTER) < risen]
    return np.concatenate(parts).astype(float).tolist()


def _scores(random: Any, rows: int, spread: float) -> Any:
    return 1 / (1 + np.exp(-random.normal(0, spread, rows)))


def _fed(stream: Sequence[float], bound: float) -> EDetector:
    detector = EDetector(bound, RUN_LENGTH)
    detector.feed(stream)
    return detector


def _ours(stream: Sequence[float], bound: float) -> float:
    crossing = _fed(stream, bound).crossing
    return np.inf if crossing is None else crossing.row - BEFORE


def _first(detector: Any, stream: Sequence[float]) -> int | None:
    for row, value in enumerate(stream, 1):
        detector.update(value)
        if detector.drift_detected:
            return row
    return None


def _theirs(detector: Any, stream: Sequence[float]) -> float:
    found = _first(detector, stream)
    return np.inf if found is None else found - BEFORE


def _late(delays_: Sequence[float]) -> Any:
    """Delays of the streams without a false alarm."""
    found = np.asarray(delays_)
    return found[found > 0]


def _delay(delays_: Sequence[float]) -> float:
    seen = _late(delays_)
    seen = seen[np.isfinite(seen)]
    return float(np.median(seen)) if len(seen) else float("inf")


def _share(delays_: Sequence[float]) -> float:
    seen = _late(delays_)
    return float(np.mean(np.isfinite(seen))) if len(seen) else 0.0


def _quartiles(delays_: Sequence[float]) -> tuple[float, float]:
    seen = _late(delays_)
    seen = seen[np.isfinite(seen)]
    return (
        (float(np.quantile(seen, 0.25)), float(np.quantile(seen, 0.75))) if len(seen) else (float("inf"), float("inf"))
    )


def _bootstrap(random: Any, theirs: Sequence[float], ours: Sequence[float]) -> tuple[float, float]:
    drawn = [_delay(random.choice(theirs, len(theirs))) / _delay(random.choice(ours, len(ours))) for _ in range(300)]
    return float(np.quantile(drawn, 0.025)), float(np.quantile(drawn, 0.975))


def _wilson(share: float, runs: int) -> tuple[float, float]:
    z = 1.96
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    reach = z / (1 + z * z / runs) * (share * (1 - share) / runs + z * z / (4 * runs * runs)) ** 0.5
    return max(middle - reach, 0.0), min(middle + reach, 1.0)


def main() -> None:
    """Print the lines as a table."""
    print("| figure | value | 95 % interval (delays: quartiles) | bar | others |\n|---|---|---|---|---|")
    for line in run("--quick" in sys.argv):
        others = ", ".join(f"{name} {value:.3g}" for name, value in line.peers.items())
        print(
            f"| {line.name} | {line.value:.4g} | {line.low:.3g} to {line.high:.3g} | {line.bar} | {others} |",
            flush=True,
        )


if __name__ == "__main__":
    main()
