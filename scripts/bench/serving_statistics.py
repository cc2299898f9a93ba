"""Gates and bandits played through thousands of times: what is found, what is blamed wrongly, what passes, what is lost.

    .venv/bin/python scripts/bench/serving_statistics.py [--runs 200] [--quick] [--plot FILE.svg] [--json FILE]

1. The canary drill: a good version (1 % of errors, as its baseline) and one with three times as many, at 10 % of the requests
   with the gate `{error_rate: margin 0.002}`; beside it a rule with a fixed number, as other tools have it.
2. Which sequential test: ours, a betting e-process, an asymptotic confidence sequence, and a plain z test at every look.
3. What a gate passes and blames over 5,000 requests, by metric and by how much worse the version is.
4. Bandits: regret against an even split, and arm means by propensities.

Shares come with 95 % intervals (Wilson). Ends with 1 when a bar is broken.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
import serving_statistics_peers as peers

from mlctl.rollout.evidence import Counts
from mlctl.rollout.judge import Judge
from mlctl.rollout.verdict import Says
from mlctl.stats.bandit import weighted_mean
from mlctl.stats.contrast import Sample
from mlctl.types.jobs.rollout import GateRule, MetricRule
from tests.simulations import Ended, Version, bandit, error_gate, step, threshold_rule

GOOD = Version(errors=0.01)
ARMS = {
    "2 arms, 10 and 12 %": {"a": 0.10, "b": 0.12},
    "5 arms, 8 to 12 %": {"a": 0.08, "b": 0.09, "c": 0.10, "d": 0.11, "e": 0.12},
}
PULLS = 20_000


class Table:
    """Rows of a Markdown table, and the bars that were broken."""

    def __init__(self) -> None:
        self.broken: list[str] = []
        self.found: dict[str, Any] = {}

    def title(self, text: str, *columns: str) -> None:
        """A new table."""
        print(f"\n## {text}\n\n| {' | '.join(columns)} |\n|{'---|' * len(columns)}", flush=True)

    def row(self, *cells: str) -> None:
        """One more row."""
        print(f"| {' | '.join(cells)} |", flush=True)

    def bar(self, name: str, value: float, holds: bool) -> None:
        """Something that has to hold."""
        self.found[name] = value
        if not holds:
            self.broken.append(f"{name}: {value:.4g}")


def interval(hits: int, runs: int) -> str:
    """A share with Wilson's 95 % interval."""
    z, share = 1.96, hits / runs
    middle = (share + z * z / (2 * runs)) / (1 + z * z / runs)
    half = z * math.sqrt(share * (1 - share) / runs + z * z / (4 * runs * runs)) / (1 + z * z / runs)
    return f"{100 * share:.1f} % ({100 * max(0.0, middle - half):.1f} to {100 * min(1.0, middle + half):.1f})"


def drill(table: Table, runs: int) -> None:
    """The canary drill of the project: bars on what is found and on what is blamed wrongly."""
    many = 5 * runs  # false aborts are rare: more runs tell more
    table.title("Canary drill: 1,200 requests of the candidate, 10,800 of its baseline", "version", "gate", "runs", "aborted", "passed", "median requests")  # fmt: skip
    full = GateRule(
        metrics=[MetricRule(name="error_rate", margin=0.002), MetricRule(name="p99_seconds", max_ratio=1.1)]
    )
    for name, version, number in (("3 x errors", Version(errors=0.03), runs), ("good", GOOD, many)):
        for gate, rule, times in (
            ("error_rate margin 0.002", error_gate(), False),
            ("the same and p99 max_ratio 1.1", full, True),
        ):
            generator = np.random.default_rng(20_261_122)
            ends = [
                step(rule, version, GOOD, generator, most=1200, times=times)
                for _ in range(number if not times else runs)
            ]
            aborted, passed = count(ends, Says.FAIL), count(ends, Says.PASS)
            took = median(ends, Says.PASS if version is GOOD else Says.FAIL)
            table.row(
                name, gate, str(len(ends)), interval(aborted, len(ends)), interval(passed, len(ends)), took
            )  # fmt: skip
            if not times and version is GOOD:
                table.bar("false aborts", aborted / len(ends), aborted / len(ends) <= 0.015)
            if not times and version is not GOOD:
                table.bar("3 x errors found", aborted / len(ends), aborted / len(ends) >= 0.9)
                table.bar("3 x errors passed", passed / len(ends), passed / len(ends) <= 0.05)
        generator = np.random.default_rng(3)
        aborted = sum(threshold_rule(version, generator) for _ in range(number))
        table.row(
            name,
            "fixed number: 12 samples of 100, 95 % good, 3 may fail",
            str(number),
            interval(aborted, number),
            "the rest",
            "",
        )
    judge = Judge(error_gate())
    silent = {judge.look(Counts(), Counts(requests), float(requests)).says for requests in range(0, 100_000, 500)}
    table.bar("verdicts without traffic", len(silent), silent == {Says.INCONCLUSIVE})


def tests(table: Table, runs: int) -> None:
    """Which sequential test finds most at the same alpha: what the decision in docs/adr/0031 rests on."""
    columns = ("10 %, margin 0.002: 3 x found", "half, no margin: 3 x found", "10 %, at the margin: blamed")
    table.title("Sequential tests: 1,200 requests of the candidate, alpha 1 %, a look each 25", "test", *columns)
    cells: dict[str, list[str]] = {name: [] for name in peers.TESTS}
    for weight, margin, errors in ((0.1, 0.002, 0.03), (0.5, 0.0, 0.03), (0.1, 0.002, 0.012)):
        generator = np.random.default_rng(17)
        paths = [counted(generator, errors, weight) for _ in range(runs)]
        for name, test in peers.TESTS.items():
            cells[name].append(interval(sum(test(path, margin, 0.01) for path in paths), runs))
    for name, row in cells.items():
        table.row(name, *row)


def counted(
    generator: np.random.Generator, errors: float, weight: float, looks: int = 48
) -> list[tuple[Sample, Sample]]:
    """What both sides have by each look."""
    each, others = 25, round(25 * (1 - weight) / weight)
    mine = np.cumsum(generator.binomial(each, errors, looks))
    theirs = np.cumsum(generator.binomial(others, GOOD.errors, looks))
    return [
        (Sample(each * number, int(mine[number - 1])), Sample(others * number, int(theirs[number - 1])))
        for number in range(1, looks + 1)
    ]


def verdicts(table: Table, runs: int) -> None:
    """What gates say of versions that are somewhat worse, and how long it takes."""
    table.title("Verdicts within 5,000 requests of the candidate", "gate", "weight", "version", "blamed", "passed", "still open", "requests to pass: median, 90 %")  # fmt: skip
    for text, rule, versions, times in _gates():
        for weight in (0.1, 0.5):
            for name, version in versions.items():
                generator = np.random.default_rng(5)
                ends = [step(rule, version, GOOD, generator, weight=weight, times=times) for _ in range(runs)]
                blamed, passed = count(ends, Says.FAIL), count(ends, Says.PASS)
                needed = [end.requests for end in ends if end.says is Says.PASS]
                spread = f"{np.median(needed):,.0f}, {np.quantile(needed, 0.9):,.0f}" if len(needed) >= 10 else ""
                table.row(text, f"{weight:.0%}", name, interval(blamed, runs), interval(passed, runs), f"{100 - 100 * (blamed + passed) / runs:.1f} %", spread)  # fmt: skip
                if name == "equal":
                    table.bar(f"equal blamed: {text}, {weight:.0%}", blamed / runs, blamed <= runs * 0.015 + 1)
                    table.bar(f"equal passed: {text}, {weight:.0%}", passed / runs, passed >= 0.7 * runs)
                if name.startswith("worst"):
                    table.bar(f"{name} passed: {text}, {weight:.0%}", passed / runs, passed <= runs * 0.05 + 2)


def _gates() -> Iterator[tuple[str, GateRule, dict[str, Version], bool]]:
    errors = {
        "equal": GOOD,
        "1.2 % errors": Version(errors=0.012),
        "2 % errors": Version(errors=0.02),
        "worst: 3 % errors": Version(errors=0.03),
    }
    for margin in (0.002, 0.005):
        yield f"error_rate margin {margin}", error_gate(margin), errors, False
    errors["worst: 4 % errors"] = Version(errors=0.04)
    del errors["worst: 3 % errors"]
    yield "error_rate margin 0.01", error_gate(0.01), errors, False
    slower = {"equal": GOOD, "1.1 x": Version(0.01, 0.022), "worst: 1.5 x": Version(0.01, 0.03)}
    for metric in ("p50_seconds", "p95_seconds", "p99_seconds", "mean_seconds"):
        yield f"{metric} max_ratio 1.1", GateRule(metrics=[MetricRule(name=metric, max_ratio=1.1)]), slower, True


def bandits(table: Table, runs: int, plot: Path | None) -> None:
    """What batches lose, and whether arms are known without bias."""
    table.title(f"Bandits: {PULLS:,} requests, floor 1 %", "arms", "batch", "regret", "even split", "of it")
    curves = {}
    for name, rates in ARMS.items():
        even = PULLS * (max(rates.values()) - sum(rates.values()) / len(rates))
        for batch in (100, 1000, 5000):
            generator = np.random.default_rng(7)
            played = [bandit(rates, generator, pulls=PULLS, batch=batch, floor=0.01).regret for _ in range(runs)]
            lost = [regret[-1] for regret in played]
            error = 1.96 * np.std(lost) / math.sqrt(runs)
            curves[f"{name}, batch {batch}"] = np.mean(played, axis=0)
            table.row(
                name, f"{batch:,}", f"{np.mean(lost):.0f} ± {error:.0f}", f"{even:.0f}", f"{np.mean(lost) / even:.0%}"
            )
            table.bar(f"regret: {name}, batch {batch}", float(np.mean(lost) / even), np.mean(lost) + error < 0.6 * even)
        curves[f"{name}, even split"] = np.linspace(0, even, PULLS)
    unbiased(table, 20 * runs)
    if plot is not None:
        draw(curves, plot)


def unbiased(table: Table, runs: int) -> None:
    """Arm means after 400 requests in batches of 25, where choosing by success bends the plain means most."""
    table.title(
        "Arm means of two equal arms of 30 %, 400 requests in batches of 25, floor 5 %",
        "estimate",
        "mean",
        "off, in standard errors",
    )
    generator = np.random.default_rng(9)
    plain, weighted = [], []
    for _ in range(runs):
        arms = bandit({"a": 0.3, "b": 0.3}, generator, pulls=400, batch=25, floor=0.05, min_rewards=1, draws=100).arms
        total = sum(arm.number for arm in arms.values())
        for arm in arms.values():
            estimate = weighted_mean(arm, total)
            plain.append(arm.mean or 0.0)
            weighted.append(0.0 if estimate is None else estimate.mean)
    for name, values in (("plain mean", plain), ("by propensities", weighted)):
        # both arms of one run are counted as one: they are not independent
        pairs = np.array(values).reshape(-1, 2).mean(axis=1)
        off = (pairs.mean() - 0.3) / (pairs.std() / math.sqrt(len(pairs)))
        table.row(name, f"{pairs.mean():.4f}", f"{off:+.1f}")
        if name == "by propensities":
            table.bar("bias by propensities, in standard errors", float(off), abs(off) < 3)


def draw(curves: dict[str, np.ndarray], path: Path) -> None:
    """Regret by request."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, len(ARMS), figsize=(11, 4), sharey=True)
    for axis, name in zip(axes, ARMS, strict=True):
        for label, curve in curves.items():
            if label.startswith(name):
                axis.plot(np.arange(0, PULLS, 100), curve[::100], label=label.removeprefix(f"{name}, "))
        axis.set(title=name, xlabel="requests", ylabel="regret")
        axis.legend()
    figure.tight_layout()
    figure.savefig(path)
    print(f"\nregret curves: {path}")


def count(ends: Sequence[Ended], says: Says) -> int:
    """How many ended so."""
    return sum(end.says is says for end in ends)


def median(ends: Sequence[Ended], says: Says) -> str:
    """After how many requests of the candidate those ended that ended so."""
    found = [end.requests for end in ends if end.says is says]
    return f"{np.median(found):,.0f}" if found else ""


def main() -> int:
    """Play, print, and say whether every bar holds."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=200, help="of each cell of the drill and of the tables")
    parser.add_argument("--quick", action="store_true", help="the drill and few runs of the rest")
    parser.add_argument("--plot", type=Path, help="where to draw the regret curves (.svg or .png)")
    parser.add_argument("--json", type=Path, help="where to write what was measured")
    given = parser.parse_args()
    table, runs = Table(), given.runs
    drill(table, runs)
    tests(table, runs if given.quick else 4 * runs)
    verdicts(table, max(20, runs // 10) if given.quick else runs)
    bandits(table, 4 if given.quick else max(10, runs // 8), given.plot)
    if given.json is not None:
        given.json.write_text(json.dumps({"found": table.found, "broken": table.broken}, indent=1) + "\n")
    print("\n" + "\n".join(f"BROKEN {item}" for item in table.broken) if table.broken else "\nevery bar holds")
    return 1 if table.broken else 0


if __name__ == "__main__":
    sys.exit(main())
