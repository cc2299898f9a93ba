"""Experiments and canaries, simulated: how often they say something false, and how often they find what is there.

Five questions, each asked of ours and of what is done elsewhere, on the same streams: looking daily at one experiment, a ratio of
sums, arms that do not get their share, a canary with three times the errors, and subgroups. `statistics.py` calls `run`.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import NormalDist

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import numpy as np
from statistics_line import Line

from mlctl.rollout.verdict import Says
from mlctl.stats import srm
from mlctl.stats.arm_metrics import Moments, contrast, wilson
from mlctl.stats.experiment_verdict import Look, Reading, Rules, decide
from mlctl.stats.group_sequential import equal_looks, inflation
from mlctl.stats.multiple import holm
from mlctl.stats.sequential import tail
from mlctl.stats.subgroups import adjusted, heterogeneity
from tests.simulations import Version, error_gate, step, threshold_rule

SEED, DAYS, ALPHA, POWER = 20_261_122, 14, 0.05, 0.8
QUANTILE = NormalDist().inv_cdf
FIXED = QUANTILE(1 - ALPHA / 2) + QUANTILE(POWER)  # the drift of z that a fixed design has with its power


def run(quick: bool) -> list[Line]:
    """All of it; `quick` with some hundred streams."""
    return [
        *peeking(1_000 if quick else 10_000),
        ratio(300 if quick else 5_000),
        *sample_ratio(300 if quick else 5_000),
        *canary(100 if quick else 1_000),
        *subgroups(1_000 if quick else 20_000),
    ]


def share(name: str, hits: int, runs: int, bar: str, peers: dict[str, float]) -> Line:
    """A share with Wilson's interval."""
    return Line(name, hits / runs, *wilson(hits / runs, runs), bar, peers)


def peeking(runs: int) -> list[Line]:
    """A look a day for two weeks. Each design is given the units that it needs for 80 %; others those of a fixed one."""
    fractions = np.arange(1, DAYS + 1) / DAYS
    lines = []
    for name, drift, bar in (("false positives", 0.0, f"<= {ALPHA}"), ("power", FIXED, f">= {POWER}")):
        generator = np.random.default_rng([SEED, 1])
        noise = np.cumsum(generator.standard_normal((runs, DAYS)) / math.sqrt(DAYS), axis=1)
        z = (noise + drift * fractions) / np.sqrt(fractions)
        peers = {
            "a plain z test each day": _any(np.abs(z) >= QUANTILE(1 - ALPHA / 2)),
            "one look at the end": _any(np.abs(z[:, -1:]) >= QUANTILE(1 - ALPHA / 2)),
            "Bonferroni over the days": _any(np.abs(z) >= QUANTILE(1 - ALPHA / 2 / DAYS)),
        }
        for design in ("pocock", "always_valid"):
            peers[design] = _claimed(z, design, drift)
        larger = math.sqrt(inflation(equal_looks(DAYS), ALPHA / 2, POWER, "obrien_fleming")) if drift else 1.0
        ours = (noise + drift * larger * fractions) / np.sqrt(fractions)
        hits = round(_claimed(ours, "obrien_fleming", drift) * runs)
        lines.append(share(f"peeking daily for 14 days: {name}", hits, runs, bar, peers))
    return lines


def _any(crossed: np.ndarray) -> float:
    return float(crossed.any(axis=1).mean())


def _claimed(z: np.ndarray, design: str, drift: float) -> float:
    """How often the verdict's own rule shows a metric better or worse; with an effect, better."""
    rules = Rules({"control": 1, "new": 1}, "control", {"new": 1000 * DAYS}, ("m",), (), ALPHA, 2, design)  # type: ignore[arg-type]
    claimed = 0
    for path in z.tolist():
        looks: list[Look] = []
        for day, value in enumerate(path, 1):
            readings = (Reading("new", "m", False, 1000 * day, value),)
            looks.append(Look(str(day), readings, {"control": 500 * day, "new": 500 * day}))
        says = decide(rules, looks).findings[0].says
        claimed += says == "better" if drift else says != "open"
    return claimed / len(z)


def ratio(runs: int) -> Line:
    """Orders for each session in two equal arms, drawn by user: users differ in how keen they are, and so their sessions go together."""
    generator = np.random.default_rng([SEED, 2])
    users, ours, rows = 500, 0, 0
    for _ in range(runs):
        sessions = 1 + generator.poisson(4, (2, users))
        orders = generator.binomial(sessions, generator.beta(0.6, 2.4, (2, users)))
        arms = [
            Moments(
                users, float(y.sum()), float((y * y).sum()), float(d.sum()), float((d * d).sum()), float((y * d).sum())
            )
            for y, d in zip(orders, sessions, strict=True)
        ]
        ours += contrast("ratio", *arms).p_value < ALPHA
        flat = [Moments(int(arm.d), arm.y, arm.y) for arm in arms]
        rows += contrast("proportion", *flat).p_value < ALPHA
    return share(
        "ratio of sums, no effect: false positives", ours, runs, "<= 0.055", {"z test of sessions": rows / runs}
    )


def sample_ratio(runs: int) -> list[Line]:
    """28 daily looks at 500 users: with a fair split, and with 51 % in one arm of 2,000 a day."""
    lines = []
    shares = {"control": 1.0, "new": 1.0}
    for name, chance, each, bar in (("false alarms", 0.5, 500, "<= 0.01"), ("51 % found", 0.51, 2000, ">= 0.8")):
        generator = np.random.default_rng([SEED, 3])
        treated = generator.binomial(each, chance, (runs, 28)).cumsum(axis=1)
        total = each * np.arange(1, 29)
        statistic = (2 * treated - total) ** 2 / total
        found = sum(
            srm.least_p_value(({"control": int(n - t), "new": int(t)} for t, n in zip(row, total, strict=True)), shares)
            < 0.01
            for row in treated
        )
        naive = float((statistic >= QUANTILE(0.995) ** 2).any(axis=1).mean())
        lines.append(
            share(f"sample ratio, 28 daily looks at 1 %: {name}", found, runs, bar, {"chi-square each day": naive})
        )
    return lines


def canary(runs: int) -> list[Line]:
    """1,200 requests of a candidate at a tenth of the traffic, held against the version beside it."""
    lines = []
    for name, errors, times, bar in (
        ("3 x errors found", 0.03, 1, ">= 0.9"),
        ("good version aborted", 0.01, 3, "<= 0.015"),
    ):
        generator = np.random.default_rng([SEED, 4])
        many = times * runs  # false aborts are rare: more runs tell more
        version, good = Version(errors=errors), Version(errors=0.01)
        failed = sum(step(error_gate(), version, good, generator, most=1200).says is Says.FAIL for _ in range(many))
        fixed = sum(threshold_rule(version, generator) for _ in range(many)) / many
        lines.append(
            share(f"canary, 1,200 requests: {name}", failed, many, bar, {"at least 95 % good, 3 of 12 may fail": fixed})
        )
    return lines


def subgroups(runs: int) -> list[Line]:
    """Eight subgroups and no effect in any."""
    generator = np.random.default_rng([SEED, 5])
    z = generator.standard_normal((runs, 8)).tolist()
    p_values = [[2 * tail(abs(one)) for one in row] for row in z]
    rules: dict[str, Callable[[Sequence[float]], float]] = {"any p below 0.05": min, "Holm": lambda row: min(holm(row))}
    peers = {name: sum(rule(row) < ALPHA for row in p_values) / runs for name, rule in rules.items()}
    one = sum(min(adjusted(row)) < ALPHA for row in p_values)
    differ = sum((found := heterogeneity(row, [1.0] * 8)) is not None and found.p_value < ALPHA for row in z)
    return [
        share("8 subgroups, no effect: one is called different (BH)", one, runs, "<= 0.05", peers),
        share("8 subgroups, no effect: they are said to differ (Cochran's Q)", differ, runs, "<= 0.05", {}),
    ]
