"""From the sums of an experiment's data to everything that is said of it: the look, the ruling, and what stands beside it.

Pure, and plain Python: the same sums, design and earlier looks give the same analysis to the bit, which is how a decision is
replayed. `moments` are what `mlctl.runtime.experiment.moments` makes; `design` is `Design.to_json`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime
from typing import Any

from mlctl.stats.arm_metrics import Contrast, Estimate, Kind, Moments, between, contrast, explained
from mlctl.stats.experiment_parts import novelty, ratio_check, subgroup_effects
from mlctl.stats.experiment_verdict import Finding, Look, Reading, Rules, decide
from mlctl.stats.noninferiority import Better, Margin, guardrail, within

_DAY = 86_400.0


@dataclass(frozen=True, slots=True)
class Judged:
    """How one metric is judged. A guardrail has a margin; `cuped` says that its sums hold a covariate."""

    name: str
    kind: Kind
    better: Better
    guardrail: bool = False
    absolute: float | None = None
    ratio: float | None = None
    cuped: bool = False
    window_seconds: float = 0.0

    @property
    def margin(self) -> Margin:
        """Of a guardrail."""
        return Margin(self.absolute, self.ratio, self.better)


@dataclass(frozen=True, slots=True)
class Design:
    """What was fixed before the first unit came."""

    digest: str
    rules: Rules
    metrics: tuple[Judged, ...]
    min_seconds: float
    max_seconds: float | None = None  # the longest it may run
    looks: int | None = None  # at equal shares of the planned units
    every_seconds: float | None = None  # or at equal times

    def to_json(self) -> dict[str, Any]:
        """The stored form."""
        return {**asdict(self), "rules": self.rules.to_json(), "metrics": [asdict(one) for one in self.metrics]}

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Design:
        """Read the stored form. Raises KeyError or TypeError when it is not one."""
        rules = Rules.from_json(stored["rules"])
        # sums over arms are to come out the same to the bit, whoever stored them in whatever order
        shares = dict(sorted(rules.shares.items(), key=lambda item: (item[0] != rules.control, item[0])))
        metrics = tuple(Judged(**one) for one in stored["metrics"])
        return cls(**{**stored, "rules": replace(rules, shares=shares), "metrics": metrics})


@dataclass(frozen=True, slots=True)
class _Read:
    """One metric of one treatment as the sums have it now."""

    metric: Judged
    arm: str
    contrast: Contrast
    z: float  # better than control, or within the margin
    explained: float | None


def analyse(
    design: Design, moments: Mapping[str, Any], looks: Sequence[Look], *, final: bool = False
) -> dict[str, Any]:
    """Everything that is said, as JSON. `looks` are the earlier ones; those made by now, with this one if it is due, are in it."""
    read = [one for metric in design.metrics for one in _readings(design, metric, moments)]
    now, due = _look(design, moments, looks, read, final)
    made = [*looks, now] if due else list(looks)
    daily = _daily(design.rules, moments)
    ruling = decide(design.rules, [*daily, *made] if due else [*daily, *made, now])
    found = {(one.arm, one.metric): one for one in ruling.findings}
    primary = design.metrics[0]
    return {
        "verdict": ruling.verdict,
        "arm": ruling.arm,
        "rule": ruling.rule,
        "reasons": list(ruling.reasons),
        "arms": dict(ruling.arms),
        "looked": due,
        "next_look": None if due else _next(design, moments, looks, read),
        "looks": [look.to_json() for look in made],
        "units": dict(now.counts),
        "fraction": _fraction(design, read),
        "first": moments["first"],
        "until": moments["until"],
        "metrics": [_figures(one, found.get((one.arm, one.metric.name)), moments) for one in read],
        "missing": _missing(design, read),
        "ratio": ratio_check(design.rules, moments, ruling.srm_p_value),
        "subgroups": subgroup_effects(design.rules, primary.name, primary.kind, moments),
        "novelty": novelty(design.rules, primary.name, primary.kind, moments),
    }


def _readings(design: Design, metric: Judged, moments: Mapping[str, Any]) -> list[_Read]:
    """Of each treatment that can be compared."""
    known: Mapping[str, Any] = moments["metrics"].get(metric.name, {})
    found = []
    for arm in design.rules.treatments:
        try:
            if "estimates" in known:
                left, right = (Estimate(**known["estimates"][name]) for name in (design.rules.control, arm))
                compared = between(left, right)
                z = within(left, right, metric.margin) if metric.guardrail else compared.z * _sign(metric)
                share = None
            else:
                left_sums, right_sums = (total(known, name) for name in (design.rules.control, arm))
                compared, z, share = _compared(metric, left_sums, right_sums)
        except (KeyError, ValueError, ZeroDivisionError):
            continue  # an arm has too few units, or nothing to divide by
        found.append(_Read(metric, arm, compared, z, share))
    return found


def _compared(metric: Judged, left: Moments, right: Moments) -> tuple[Contrast, float, float | None]:
    if metric.guardrail:
        compared, z = guardrail(metric.kind, left, right, metric.margin)
        return compared, z, None
    compared = contrast(metric.kind, left, right, cuped=metric.cuped)
    share = explained(metric.kind, left, right) if metric.cuped else None
    return compared, compared.z * _sign(metric), share


def _sign(metric: Judged) -> int:
    return 1 if metric.better == "higher" else -1


def total(metric: Mapping[str, Any], arm: str) -> Moments:
    """The sums of an arm over all days, oldest first."""
    found = Moments()
    for _, sums in sorted(metric["days"].get(arm, {}).items()):
        found += Moments.from_json(sums)
    return found


def _look(
    design: Design, moments: Mapping[str, Any], looks: Sequence[Look], read: Sequence[_Read], final: bool
) -> tuple[Look, bool]:
    """The look that could be made now, and whether it is one: else it only tells how many units there are."""
    counts = {arm: sum(day.get(arm, 0) for day in moments["days"].values()) for arm in design.rules.shares}
    seconds, window = _seconds(moments), max(one.window_seconds for one in design.metrics)
    over = design.max_seconds is not None and seconds >= design.max_seconds + window
    over, early = final or over, seconds - window < design.min_seconds
    anytime, whole = design.rules.sequential == "always_valid", _fraction(design, read) >= 1
    ended = not anytime and _ended(design, looks)
    due = not ended and ((over and not (looks and looks[-1].last)) or _due(design, moments, looks, read))
    if early and whole and not (over or anytime):
        due = False  # it would spend all that is left of alpha on a week that is not whole
    # with all units of the primary metric it is the end for the others too, which may never have as many
    last = over or ended or (due and whole and not anytime)
    readings = tuple(
        Reading(one.arm, one.metric.name, one.metric.guardrail, one.contrast.control.units + one.contrast.treatment.units, one.z)
        for one in read
    )  # fmt: skip
    grown = _grown(readings, looks)
    due = due and (grown or over) and bool(readings)
    return Look(moments["until"], readings if due else (), counts, last, early), due


def _ended(design: Design, looks: Sequence[Look]) -> bool:
    """Whether a look has spent all that was left of alpha: at the end of the time, or of the planned units."""
    return any(look.last or (not look.early and _share(design, look.readings) >= 1) for look in looks)


def _grown(readings: Sequence[Reading], looks: Sequence[Look]) -> bool:
    """Whether any metric has more units than at the last look; the same data a second time is no look."""
    known = {(one.arm, one.metric): one.units for look in looks for one in look.readings}
    return any(one.units > known.get((one.arm, one.metric), 0) for one in readings)


def _due(design: Design, moments: Mapping[str, Any], looks: Sequence[Look], read: Sequence[_Read]) -> bool:
    if design.rules.sequential in ("always_valid", "fixed"):
        return True
    if design.every_seconds is not None:
        before = [_passed(moments["first"], look.at) for look in looks if moments["first"]]
        return int(_seconds(moments) / design.every_seconds) > int(max(before, default=0.0) / design.every_seconds)
    number, share = design.looks or 1, _fraction(design, read)
    before_share = max((_share(design, look.readings) for look in looks), default=0.0)
    return share > before_share and (math.floor(share * number + 1e-9) > math.floor(before_share * number + 1e-9))


def _next(design: Design, moments: Mapping[str, Any], looks: Sequence[Look], read: Sequence[_Read]) -> str:
    """When the next look is made, for a person."""
    planned = design.rules.sequential not in ("always_valid", "fixed")
    before = max((_share(design, look.readings) for look in looks), default=0.0)
    if design.rules.sequential != "always_valid" and _ended(design, looks):
        return "never: the end was looked at, and no alpha is left"
    if planned and _fraction(design, read) >= 1:
        return f"{design.min_seconds / _DAY:g} days after the first exposure"
    if planned and design.every_seconds is not None:
        done = int(_seconds(moments) / design.every_seconds) + 1
        return f"{done * design.every_seconds / _DAY:g} days after the first exposure"
    if planned and design.looks is not None:
        share = max(_fraction(design, read), before)
        number = min(math.floor(share * design.looks + 1e-9) + 1, design.looks)
        return f"at {number / design.looks:.0%} of the planned units"
    return "when there are more units"


def _fraction(design: Design, read: Sequence[_Read]) -> float:
    """The least share of the planned units that the primary metric has, over the treatments."""
    primary = design.metrics[0].name
    shares = {
        one.arm: (one.contrast.control.units + one.contrast.treatment.units) / design.rules.planned[one.arm]
        for one in read
        if one.metric.name == primary
    }
    return min((shares.get(arm, 0.0) for arm in design.rules.treatments), default=0.0)


def _share(design: Design, readings: Sequence[Reading]) -> float:
    primary = design.metrics[0].name
    shares = [one.units / design.rules.planned[one.arm] for one in readings if one.metric == primary]
    return min(shares, default=0.0)


def _seconds(moments: Mapping[str, Any]) -> float:
    """From the first exposure to the end of the data."""
    return _passed(moments["first"], moments["until"]) if moments["first"] else 0.0


def _passed(since: str, until: str) -> float:
    return (datetime.fromisoformat(until) - datetime.fromisoformat(since)).total_seconds()


def _daily(rules: Rules, moments: Mapping[str, Any]) -> list[Look]:
    """The counts by the end of each day: the sequential test of shares may look at all of them."""
    found, so_far = [], dict.fromkeys(rules.shares, 0)
    for day, counts in sorted(moments["days"].items()):
        so_far = {arm: so_far[arm] + counts.get(arm, 0) for arm in so_far}
        found.append(Look(day, (), so_far))
    return found


def _figures(read: _Read, finding: Finding | None, moments: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of one metric of one treatment. Intervals are those of the looks: they hold although there are several."""
    known, compared = moments["metrics"][read.metric.name], read.contrast
    critical = None if finding is None else finding.critical
    low, high = compared.interval(critical) if critical is not None else (None, None)
    relative = compared.relative_interval(critical) if critical is not None else None
    return {
        "metric": read.metric.name,
        "arm": read.arm,
        "role": "guardrail" if read.metric.guardrail else "success",
        "type": read.metric.kind,
        "better": read.metric.better,
        "margin": {"absolute": read.metric.absolute, "ratio": read.metric.ratio} if read.metric.guardrail else None,
        "control": compared.control.value,
        "treatment": compared.treatment.value,
        "difference": compared.difference,
        "error": compared.error,
        "relative": compared.relative,
        "low": low,
        "high": high,
        "relative_low": relative[0] if relative else None,
        "relative_high": relative[1] if relative else None,
        "z": read.z,
        "critical": critical,
        "level": None if finding is None else finding.level,
        "says": "open" if finding is None else finding.says,
        "since": "" if finding is None else finding.since,
        "units": compared.control.units + compared.treatment.units,
        "pending": sum(known.get("pending", {}).values()),
        "adjusted": compared.adjusted,
        "explained": read.explained,
    }


def _missing(design: Design, read: Sequence[_Read]) -> list[dict[str, str]]:
    """Metrics that could not be compared, by arm."""
    have = {(one.arm, one.metric.name) for one in read}
    return [
        {"metric": metric.name, "arm": arm} for metric in design.metrics for arm in design.rules.treatments if (arm, metric.name) not in have
    ]  # fmt: skip
