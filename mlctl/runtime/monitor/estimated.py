"""The part `estimated`: what the scores of the window let expect of a metric, without any label."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np

from mlctl.runtime.monitor.found import Found
from mlctl.runtime.monitor.joining import read_predictions
from mlctl.runtime.monitor.window import seconds_before
from mlctl.runtime.report import Report
from mlctl.stats.calibration import CANNOT_SEE, Estimate, estimate, method_for
from mlctl.stats.drift import Verdict
from mlctl.types.jobs.labels import EstimatedPart, HeldOut
from mlctl.types.jobs.monitor import Alarm, Impact, MonitorJob

BASIS = "estimated from scores of all that drifted together, blind to concept drift"


def watch(job: MonitorJob, part: EstimatedPart, report: Report) -> Found:
    """Calibrate on what was held out, and estimate over the rows of the version that it belongs to."""
    until = datetime.fromisoformat(job.until)
    report.progress("reading the prediction log")
    predictions = read_predictions(Path(job.predictions), seconds_before(until, part.window_seconds), until, [])
    held = HeldOut.model_validate_json(Path(part.held_out).read_bytes())
    known, target = np.asarray(held.scores), np.asarray(held.targets)
    score, decided = np.asarray(predictions.scores), np.asarray(predictions.decided)
    own = np.asarray([part.version in (None, version) for version in predictions.versions], dtype=bool)
    usable = own & (score >= 0) & (score <= 1) & np.isin(decided, (0.0, 1.0))
    score, decided = score[usable], decided[usable]
    figures: dict[str, Any] = {
        "metric": part.metric, "margin": part.margin, "rows": len(score), "predictions": len(predictions), "version": part.version,
        "other_versions": int(np.count_nonzero(~own)), "unusable": int(np.count_nonzero(own & ~usable)),
        "calibration": method_for(len(known)), "held_out_rows": len(known), "cannot_see": CANNOT_SEE,
        "outside": float(np.mean((score < known.min()) | (score > known.max()))) if len(score) else 0.0,
        **dict.fromkeys(("value", "low", "high", "reference", "change", "change_low", "change_high")),
    }  # fmt: skip
    if len(score) < part.min_rows:
        summary = f"{len(score)} scores of version {part.version} in the window, and {part.min_rows} are needed to estimate {part.metric}"
        return Found(Verdict.NO_DATA, summary, figures)
    report.progress("estimating")
    found = estimate(part.metric, (known, target), score, decided, part.alpha)
    figures |= {
        name: getattr(found, name)
        for name in ("value", "low", "high", "reference", "change", "change_low", "change_high")
    }
    told = f"{part.metric} {found.value:.4g} [{found.low:.4g}, {found.high:.4g}] estimated without labels, {found.reference:.4g} held out"
    alarms = (_alarm(part, told, found),) if found.change_low > part.margin else ()
    verdict = Verdict.ALARM if alarms else Verdict.OK
    return Found(verdict, f"{told}; blind to concept drift", figures, alarms, lambda: _draw(part, figures))


def impact_of(figures: Mapping[str, Any]) -> Impact | None:
    """What all drift of the window together may mean for the metric, where it was estimated."""
    if figures["value"] is None:
        return None
    return Impact(
        metric=figures["metric"],
        change=figures["change"],
        low=figures["change_low"],
        high=figures["change_high"],
        basis=BASIS,
    )


def with_impact(found: Mapping[str, Found]) -> dict[str, Found]:
    """What each part found, alarms of data drift with what they may mean where they do not say so themselves."""
    impact = impact_of(found["estimated"].figures) if "estimated" in found else None
    if impact is None or "data" not in found:
        return dict(found)
    told = found["data"]
    alarms = tuple(
        alarm if alarm.impact is not None else alarm.model_copy(update={"impact": impact}) for alarm in told.alarms
    )
    return {**found, "data": replace(told, alarms=alarms)}


def _alarm(part: EstimatedPart, told: str, found: Estimate) -> Alarm:
    impact = Impact(metric=part.metric, change=found.change, low=found.change_low, high=found.change_high, basis=BASIS)
    says = f"{told}: worse by more than {part.margin:g}"
    return Alarm(
        part="estimated",
        name=part.metric,
        says=says,
        method="calibrated scores",
        effect=found.change,
        margin=part.margin,
        impact=impact,
    )


def _draw(part: EstimatedPart, figures: Mapping[str, Any]) -> str:
    from mlctl.runtime.monitor.outcome_pages import estimated_section

    return estimated_section(part, figures)
