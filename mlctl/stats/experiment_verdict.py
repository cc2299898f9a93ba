"""What an experiment says at a look: ship, stop, continue or invalid, and by which rule. Pure: the same looks, the same ruling.

A treatment is shipped when at least one success metric is shown better (Holm over all of them and all treatments) and every
guardrail is shown to be kept. Guardrails are not corrected for, since all of them have to hold; the sample size is (Schultzberg
et al. 2024, Risk-aware product decisions in A/B tests with multiple metrics, arXiv 2402.11609). It is stopped when a success
metric is shown worse, a guardrail is shown broken, or the end has come and nothing was shown. Units that did not come to the
arms as they should make the whole experiment invalid, whatever the metrics say. How Holm and bounds over several looks go
together: Maurer and Bretz 2013, Multiple testing in group sequential trials using graphical approaches.

What was shown at one look stays shown, as the bounds allow; to be shipped, the metric must still be on the better side.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from statistics import NormalDist
from typing import Any, Literal

from mlctl.stats import always_valid, srm
from mlctl.stats.group_sequential import bounds
from mlctl.stats.sequential import tail

Verdict = Literal["ship", "stop", "continue", "invalid"]
Says = Literal["better", "worse", "kept", "broken", "open"]
_NORMAL = NormalDist()


@dataclass(frozen=True, slots=True)
class Reading:
    """One metric of one treatment at a look. `z` says how surely it is better than control, or, of a guardrail, within its margin."""

    arm: str
    metric: str
    guardrail: bool
    units: int  # that count: of control and this arm, old enough
    z: float


@dataclass(frozen=True, slots=True)
class Look:
    """All readings of one moment, and how many units came to each arm. `at` names it."""

    at: str
    readings: tuple[Reading, ...]
    counts: Mapping[str, int]
    last: bool = False  # nothing will come after: the planned time is over
    early: bool = False  # before the least duration: harm counts, success does not yet

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "readings": [asdict(one) for one in self.readings]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Look:
        """Read the stored form. Raises KeyError or TypeError when it is not one."""
        readings = tuple(Reading(**one) for one in stored["readings"])
        return cls(**{**stored, "readings": readings})


@dataclass(frozen=True, slots=True)
class Rules:
    """What the design fixed before the first unit came. `planned` are the units of each treatment and control together."""

    shares: Mapping[str, float]  # of each arm, control among them
    control: str
    planned: Mapping[str, int]
    metrics: tuple[str, ...]  # of success: the primary one first
    guardrails: tuple[str, ...]
    alpha: float = 0.05
    tails: Literal[1, 2] = 2
    sequential: Literal["obrien_fleming", "pocock", "always_valid", "fixed"] = "obrien_fleming"
    srm_alpha: float = srm.ALPHA

    @property
    def treatments(self) -> tuple[str, ...]:
        """All arms but control."""
        return tuple(arm for arm in self.shares if arm != self.control)

    @property
    def side(self) -> float:
        """What one side may spend."""
        return self.alpha / self.tails

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "metrics": list(self.metrics), "guardrails": list(self.guardrails)}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Rules:
        """Read the stored form. Raises KeyError or TypeError when it is not one."""
        return cls(**{**stored, "metrics": tuple(stored["metrics"]), "guardrails": tuple(stored["guardrails"])})


@dataclass(frozen=True, slots=True)
class Finding:
    """What is known of one metric of one treatment by the last look."""

    arm: str
    metric: str
    guardrail: bool
    says: Says
    z: float | None  # of the last look that counted
    critical: float | None  # that it is held against; infinite bounds and no look at all are None
    level: float  # alpha of this side, after Holm
    units: int
    fraction: float  # of the planned units
    p_value: float | None  # one-sided, of that z alone
    since: str = ""  # the look at which it was shown


@dataclass(frozen=True, slots=True)
class Ruling:
    """The verdict, the rule that gave it, and what it rests on."""

    verdict: Verdict
    rule: str
    reasons: tuple[str, ...]
    findings: tuple[Finding, ...] = ()
    arm: str | None = None  # that is shipped
    srm_p_value: float = 1.0
    arms: Mapping[str, Verdict] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "reasons": list(self.reasons), "findings": [asdict(one) for one in self.findings]}


def decide(rules: Rules, looks: Sequence[Look]) -> Ruling:
    """The ruling at the last of these looks, which are all that were made. Raises ValueError when there is none."""
    if not looks:
        raise ValueError("there is no look to decide by")
    p_value = srm.least_p_value((look.counts for look in looks), rules.shares)
    if p_value < rules.srm_alpha:
        return Ruling(
            "invalid",
            f"units come to the arms in other shares than asked for (sequential test, alpha {rules.srm_alpha:g})",
            (f"sample ratio mismatch: p {p_value:.2g}; what is compared was not drawn by lot",),
            srm_p_value=p_value,
        )
    empty = [arm for arm in rules.shares if not looks[-1].counts.get(arm)]
    if empty:
        return Ruling(
            "invalid" if looks[-1].last else "continue",
            "every arm needs units",
            (f"no unit came to {', '.join(empty)}",),
            srm_p_value=p_value,
        )
    findings = _findings(rules, looks)
    return _together(rules, looks[-1], findings, p_value)


def _findings(rules: Rules, looks: Sequence[Look]) -> tuple[Finding, ...]:
    """Holm's step-down over all success metrics of all treatments, then the guardrails."""
    keys = [(arm, metric) for arm in rules.treatments for metric in rules.metrics]
    better: dict[tuple[str, str], Finding] = {}
    while True:
        level = rules.side / max(len(keys) - len(better), 1)
        new = {}
        for key in keys:
            if key not in better:
                found = _finding(rules, looks, key, level, False)
                if found.says == "better":
                    new[key] = found
        if not new:
            break
        better |= new
    each = rules.side / len(keys)  # harm: each by itself, so that all together keep alpha
    success = [better.get(key) or _finding(rules, looks, key, level, False, harm=each) for key in keys]
    guards = [
        _finding(rules, looks, (arm, metric), rules.side, True, harm=rules.side)
        for arm in rules.treatments
        for metric in rules.guardrails
    ]
    return (*success, *guards)


# the name of the look, what it read, whether it was the last, whether it was before the least duration
_Series = list[tuple[str, Reading, bool, bool]]


def _series(looks: Sequence[Look], arm: str, metric: str, guardrail: bool) -> _Series:
    """The readings of a metric, as far as each had more units than the one before: a second look at the same spends nothing."""
    found: _Series = []
    for look in looks:
        for one in look.readings:
            if (one.arm, one.metric, one.guardrail) != (arm, metric, guardrail) or math.isnan(one.z):
                continue
            if found and one.units <= found[-1][1].units:
                at, seen, last, early = found[-1]
                found[-1] = (at, seen, last or look.last, early and look.early)
            elif one.units > 0:
                found.append((look.at, one, look.last, look.early))
    return found


def _counting(series: _Series, planned: int) -> _Series:
    """Those that success may be told by: all units in less than the least duration are no end, and must not spend what is left."""
    return [item for item in series if not item[3] or item[1].units < planned]


def _critical(rules: Rules, arm: str, series: _Series, level: float) -> list[float]:
    """The critical value of each look for one side."""
    planned = rules.planned[arm]
    fractions = [one.units / planned for _, one, *_ in series]
    if rules.sequential == "always_valid":
        return [always_valid.critical_one_sided(one.units, level, planned) for _, one, *_ in series]
    # the first last look spends all that is left: whatever is looked at later finds nothing any more
    ended = next((index for index, (*_, last, _) in enumerate(series) if last), None)
    if rules.sequential == "fixed":
        end = next((index for index, share in enumerate(fractions) if share >= 1 or index == ended), None)
        return [_NORMAL.inv_cdf(1 - level) if index == end else math.inf for index in range(len(series))]
    if ended is not None:
        after = [math.inf] * (len(series) - ended - 1)
        return [*bounds(fractions[: ended + 1], level, rules.sequential, ended=True), *after]
    return bounds(fractions, level, rules.sequential) if series else []


def _finding(
    rules: Rules, looks: Sequence[Look], key: tuple[str, str], level: float, guardrail: bool, harm: float | None = None
) -> Finding:
    """One metric: shown on its good side at a level, or on its bad one where `harm` says at which, or open."""
    arm, metric = key
    every = _series(looks, arm, metric, guardrail)
    counting = _counting(every, rules.planned[arm])
    critical = _critical(rules, arm, counting, level)
    says: Says = "open"
    since = _crossed([one.z for _, one, *_ in counting], critical, counting)
    if since:
        says = "kept" if guardrail else "better"
    elif harm is not None:
        since = _crossed([-one.z for _, one, *_ in every], _critical(rules, arm, every, harm), every)
        says = ("broken" if guardrail else "worse") if since else "open"
    last = every[-1][1] if every else None
    return Finding(
        arm,
        metric,
        guardrail,
        says,
        last.z if last else None,
        critical[-1] if critical and math.isfinite(critical[-1]) else None,
        level,
        last.units if last else 0,
        last.units / rules.planned[arm] if last else 0.0,
        tail(last.z) if last else None,
        since,
    )


def _crossed(values: Sequence[float], critical: Sequence[float], series: _Series) -> str:
    """The name of the first look at or beyond its critical value; empty when there is none."""
    pairs = zip(values, critical, series, strict=True)
    return next((at for value, bound, (at, *_) in pairs if value >= bound), "")


def _together(rules: Rules, now: Look, findings: tuple[Finding, ...], p_value: float) -> Ruling:
    """From what is known of each metric to a verdict of each treatment, and from those to one."""
    told = {arm: _of_arm(rules, now, [one for one in findings if one.arm == arm]) for arm in rules.treatments}
    arms = {arm: verdict for arm, (verdict, _, _) in told.items()}
    best = max(
        (arm for arm, verdict in arms.items() if verdict == "ship"),
        key=lambda arm: max(one.z or 0.0 for one in findings if one.arm == arm and not one.guardrail),
        default=None,
    )
    going = next((arm for arm, verdict in arms.items() if verdict == "continue"), None)
    verdict, rule, reasons = told[best or going or rules.treatments[0]]
    if best is None and len(arms) > 1:
        reasons = tuple(f"{arm}: {reason}" for arm in arms for reason in told[arm][2])
    return Ruling(verdict, rule, reasons, findings, best, p_value, arms)


def _of_arm(rules: Rules, now: Look, findings: list[Finding]) -> tuple[Verdict, str, tuple[str, ...]]:
    names = {
        says: [one.metric for one in findings if one.says == says] for says in ("worse", "broken", "better", "kept")
    }
    if names["broken"]:
        return (
            "stop",
            "a guardrail is broken",
            tuple(f"{name} is worse by more than its margin" for name in names["broken"]),
        )
    if names["worse"]:
        return (
            "stop",
            "a success metric is worse",
            tuple(f"{name} is worse than in {rules.control}" for name in names["worse"]),
        )
    waiting = [name for name in rules.guardrails if name not in names["kept"]]
    holding = [one.metric for one in findings if one.says == "better" and (one.z or 0.0) > 0]
    if holding and not waiting and not now.early:
        better = tuple(f"{name} is better than in {rules.control}" for name in holding)
        kept = tuple(f"{name} is within its margin" for name in rules.guardrails)
        return "ship", "a success metric is better and every guardrail is kept", better + kept
    open_ones = (
        *(() if holding else (f"no success metric is shown better yet: {', '.join(rules.metrics)}",)),
        *(f"{name} is not yet shown to be within its margin" for name in waiting),
    )
    if now.last or (_complete(rules, findings) and not now.early):
        return "stop", "the planned end has come and the treatment has not shown what it takes", open_ones
    if now.early:
        return (
            "continue",
            "the least duration is not over",
            open_ones or ("all is shown; weekdays that are missing could still change it",),
        )
    return "continue", "not everything is shown yet", open_ones


def _complete(rules: Rules, findings: list[Finding]) -> bool:
    """Whether all units that were planned have been looked at, so that no alpha is left. Always-valid designs have no such end."""
    return rules.sequential != "always_valid" and all(one.fraction >= 1 for one in findings)
