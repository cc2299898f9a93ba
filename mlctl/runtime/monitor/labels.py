"""The part `labels`: join labels that came late, measure days of one age, and look for label drift and for concept drift."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.monitor import cohorts
from mlctl.runtime.monitor.cohorts import Outcomes, Ripe
from mlctl.runtime.monitor.detection import Detection, detect
from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.joining import Finder, Predictions, events, read_predictions
from mlctl.runtime.monitor.window import seconds_before
from mlctl.runtime.report import Report
from mlctl.stats import drift
from mlctl.stats.drift import Comparison, Verdict
from mlctl.stats.multiple import holm
from mlctl.stats.performance import THRESHOLD, Measure, measure, p_worse, worse_by
from mlctl.types.jobs.labels import HeldOut, LabelsPart
from mlctl.types.jobs.monitor import Alarm, Impact, MonitorJob

_LABEL = "label"  # under which label drift is told
_TEST = "z"  # of a metric against its margin
_REACH = 1.96


@dataclass(frozen=True)
class _Pair:
    """A metric of now, and held out."""

    now: Measure | None
    before: Measure | None


@dataclass(frozen=True)
class _Seen:
    """All that one run looked at and computed."""

    part: LabelsPart
    predictions: Predictions
    outcomes: Outcomes
    limit: float  # predictions after it are too young
    rows: Ripe
    measured: Mapping[str, _Pair]
    shifted: Comparison | None
    adjusted: Mapping[str, float]  # p-values of all that was tested
    detection: Detection


def watch(job: MonitorJob, part: LabelsPart, report: Report) -> Found:
    """Join, measure, test, and go on with the detector where the last run left it."""
    until = datetime.fromisoformat(job.until)
    wait = part.joining.within_window_seconds
    since = seconds_before(until, wait + part.window_seconds)
    report.progress("reading the prediction log")
    predictions = read_predictions(Path(job.predictions), since, until, part.joining.key)
    report.progress("joining labels")
    known = events(part.joining, part.label, seconds_before(since, wait), report.folder)
    finder = Finder(predictions, part.joining)
    outcomes = cohorts.label(predictions, finder, known, until.timestamp(), part.task == "binary")
    limit = until.timestamp() - wait
    rows = cohorts.ripe(predictions, outcomes, limit, part.version)
    held = HeldOut.model_validate_json(Path(part.held_out).read_bytes()) if part.held_out is not None else None
    covered = (cohorts.coverage(rows.states) or 0.0) >= part.min_coverage  # else those without a label may be others
    measured, shifted = _measures(part, rows, held), _label_drift(part, rows, held) if covered else None
    adjusted = _adjusted(part, measured, shifted) if covered else {}
    detection = detect(part, rows, since.timestamp(), limit, job.memory.get("labels", {}))
    return _found(_Seen(part, predictions, outcomes, limit, rows, measured, shifted, adjusted, detection))


def _measures(part: LabelsPart, rows: Ripe, held: HeldOut | None) -> dict[str, _Pair]:
    found = {}
    for metric in part.metrics:
        before = None
        if held is not None:
            target, score = np.asarray(held.targets), np.asarray(held.scores)
            decided = (score >= THRESHOLD).astype(np.float64) if part.task == "binary" else score
            before = measure(metric, target, score, decided)
        found[metric] = _Pair(measure(metric, rows.labels, rows.scores, rows.decided), before)
    return found


def _label_drift(part: LabelsPart, rows: Ripe, held: HeldOut | None) -> Comparison | None:
    """How the labels are distributed, against those that were held out."""
    labels = rows.labels[np.isfinite(rows.labels)]
    if held is None or len(labels) < part.min_labels:
        return None
    if part.task == "regression":
        return drift.ks(held.targets, labels)
    before, now = sum(held.targets), float(labels.sum())
    return drift.chi_square([len(held.targets) - before, before], [len(labels) - now, now])


def _adjusted(part: LabelsPart, measured: Mapping[str, _Pair], shifted: Comparison | None) -> dict[str, float]:
    """The p-values of all that is tested, adjusted together."""
    tested = {} if shifted is None else {_LABEL: shifted.p_value}
    for metric, margin in part.margins.items():
        pair = measured.get(metric)
        if pair is not None and pair.now and pair.before and pair.now.rows >= part.min_labels:
            tested[metric] = p_worse(metric, pair.now, pair.before, margin)
    return dict(zip(tested, holm(list(tested.values())), strict=True))


def _alarms(seen: _Seen) -> tuple[Alarm, ...]:
    """The detector's, then those of metrics, then that of the labels themselves."""
    alarms = [_drifted(seen.part, seen.detection)] if seen.detection.crossed else []
    for metric, margin in seen.part.margins.items():
        pair = seen.measured.get(metric)
        p = seen.adjusted.get(metric, 1.0)
        if p < seen.part.alpha and pair is not None and pair.now and pair.before:
            alarms.append(_worse(metric, pair.now, pair.before, margin, p))
    shifted, margin_ = seen.shifted, seen.part.label_margin
    if shifted is not None and margin_ is not None and shifted.effect >= margin_:
        p = seen.adjusted[_LABEL]
        if p < seen.part.alpha:
            says = f"labels are distributed otherwise than held out: by {shifted.effect:.3g} ({margin_:g} is worth an alarm), adjusted p {p:.2g}"
            method = "chi_square" if seen.part.task == "binary" else "ks"
            alarms.append(
                Alarm(
                    part="labels",
                    name=_LABEL,
                    says=says,
                    method=method,
                    effect=shifted.effect,
                    margin=margin_,
                    p_adjusted=p,
                )
            )
    return tuple(alarms)


def _drifted(part: LabelsPart, detection: Detection) -> Alarm:
    impact = None
    if detection.rise is not None and detection.low is not None and detection.high is not None:
        basis = f"labels since about {detection.figures['since'] or 'long ago'}"
        impact = Impact(metric=part.loss, change=detection.rise, low=detection.low, high=detection.high, basis=basis)
    says = f"concept drift: {detection.says}"
    return Alarm(part="labels", name=part.loss, says=says, method=part.detector, effect=detection.rise, impact=impact)


def _worse(metric: str, now: Measure, before: Measure, margin: float, p: float) -> Alarm:
    worse, reach = worse_by(metric, now.value, before.value), _REACH * float(np.hypot(now.error, before.error))
    says = f"{metric} is {now.value:.4g} where {before.value:.4g} was held out: worse by more than {margin:g}, adjusted p {p:.2g}"
    basis = "ripe labels of the window"
    impact = Impact(metric=metric, change=worse, low=worse - reach, high=worse + reach, basis=basis)
    return Alarm(
        part="labels", name=metric, says=says, method=_TEST, effect=worse, margin=margin, p_adjusted=p, impact=impact
    )


def _found(seen: _Seen) -> Found:
    alarms = _alarms(seen)
    figures = _figures(seen, alarms)
    lacking = _lacking(seen.part, figures)
    verdict = Verdict.ALARM if alarms else Verdict.NO_DATA if lacking else Verdict.OK
    calm = lacking or f"no more errors than held out in {figures['ripe_labelled']} ripe labels"
    summary = "; ".join(alarm.says for alarm in alarms) or calm
    draw = (lambda: _draw(seen.part, figures)) if len(seen.predictions) else None
    return Found(verdict, summary, figures, alarms, draw)


def _figures(seen: _Seen, alarms: Sequence[Alarm]) -> dict[str, Any]:
    part, predictions, outcomes, shifted = seen.part, seen.predictions, seen.outcomes, seen.shifted
    told = {alarm.name for alarm in alarms if alarm.method == _TEST}
    return {
        "predictions": len(predictions), "ripe": len(seen.rows.times), "ripe_labelled": int(np.count_nonzero(seen.rows.states == cohorts.LABELLED)),
        "coverage": cohorts.coverage(seen.rows.states), "label_rows": outcomes.rows, "version": part.version,
        "other_versions": 0 if part.version is None else sum(item != part.version for item in predictions.versions),
        "labels": cohorts.counts(predictions, outcomes, seen.limit), "refused": {name: outcomes.refused[name] for name in cohorts.REFUSED},
        "lag_seconds": cohorts.lags(outcomes, predictions, seen.limit),
        "metrics": {name: _metric(name, pair, part.margins.get(name), seen.adjusted.get(name), name in told) for name, pair in seen.measured.items()},
        "label_drift": None if shifted is None else {
            "effect": shifted.effect, "margin": part.label_margin, "p_value": shifted.p_value, "p_adjusted": seen.adjusted[_LABEL], "rows": shifted.rows
        },
        "detector": seen.detection.figures,
        "cohorts": cohorts.by_day(predictions, outcomes, seen.limit, part.metrics),
        "memory": seen.detection.memory,
    }  # fmt: skip


def _lacking(part: LabelsPart, figures: Mapping[str, Any]) -> str:
    """Why nothing can be said, if so."""
    whose = "" if part.version is None else f" of version {part.version}"
    if figures["ripe_labelled"] < part.min_labels:
        return f"{figures['ripe_labelled']} of {figures['ripe']} ripe predictions{whose} have a label, and {part.min_labels} are needed"
    if figures["coverage"] is not None and figures["coverage"] < part.min_coverage:
        return f"{figures['coverage']:.1%} of the ripe predictions{whose} have a label, and {part.min_coverage:.0%} are needed: the others may differ"
    return ""


def _metric(name: str, pair: _Pair, margin: float | None, p: float | None, told: bool) -> dict[str, Any]:
    now, before = pair.now, pair.before
    return {
        "value": None if now is None else now.value, "standard_error": None if now is None or not np.isfinite(now.error) else now.error,
        "rows": 0 if now is None else now.rows, "reference": None if before is None else before.value,
        "effect": None if now is None or before is None else worse_by(name, now.value, before.value), "margin": margin,
        "p_adjusted": p, "verdict": "no_data" if now is None else "measured" if p is None else "alarm" if told else "ok",
    }  # fmt: skip


def _draw(part: LabelsPart, figures: Mapping[str, Any]) -> str:
    from mlctl.runtime.monitor.outcome_pages import labels_section

    return labels_section(part, figures)
