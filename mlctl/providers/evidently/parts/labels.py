"""The part `labels`: what came of predictions, joined to them late, and whether the model gets more wrong than it did."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import outcomes
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.spec.labels import LABEL_MARGIN, Labels
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.stats.limits import binomial_limits, mean_limit
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.labels import BINARY_LABEL_METRICS, HeldOut
from mlctl.types.units import format_duration
from mlctl.types.value import Json, digest

CONFIDENCE = 0.95  # of the bound that the detector starts from
THRESHOLD = 0.5  # of a score, for its class
_USUAL_METRICS = {"binary": ("error_rate", "log_loss", "roc_auc"), "regression": ("mae",)}
_USUAL_ERRORS = 0.9  # the share of held-out errors of numbers that are no exceedance


class LabelsPart:
    """Metrics of days whose labels are ripe, label drift, and a detector that never stops."""

    name: ClassVar[str] = "labels"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """Something to compare with, and no field without an effect."""
        labels = spec.labels
        if labels is None:
            return
        if spec.evaluation is None:
            if labels.detector == "e_detector" and labels.baseline is None:
                yield outcomes.no_evaluation(
                    "labels", "the detector looks for more errors than the model had when it was judged"
                )
            for field in ("margin", "label_margin", "loss", "alpha"):
                if field in labels.model_fields_set and getattr(labels, field) not in (None, {}):
                    yield outcomes.idle(
                        "labels",
                        field,
                        "it is held against an evaluation, and none is named",
                        "add `evaluation: NAME` beside `deployment`, or remove it",
                    )
        if labels.detector == "adwin":
            for field in ("average_run_length", "baseline"):
                if getattr(labels, field) is not None:
                    yield outcomes.idle(
                        "labels",
                        field,
                        "ADWIN compares the past with the present, and states no run length",
                        "remove it, or use `detector: e_detector`",
                    )
        if labels.baseline is not None and labels.loss == "brier":
            yield outcomes.idle(
                "labels",
                "baseline",
                "it is an error rate, and the detector follows the Brier score",
                "remove it, or `loss`",
            )
        for metric in labels.margin:
            if labels.metrics is not None and metric not in labels.metrics:
                yield Diagnostic(
                    "monitor.margin-unused",
                    f"the margin of `{metric}` has no effect",
                    "only metrics that are measured are tested",
                    f"remove it, or add `{metric}` to `metrics`",
                    path=("labels", "margin", metric),
                )
        for index, name in outcomes.repeated(labels.metrics or []):
            yield Diagnostic(
                "monitor.metric-twice", f"`{name}` is given twice", "", "remove one", path=("labels", "metrics", index)
            )

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """How labels are joined, and what the model got wrong when it was judged."""
        labels = spec.labels
        if labels is None:
            raise ValueError("the part has no block: `check` refuses that")
        joined = outcomes.joining(labels, labels.delay, "labels", desired)
        outcomes.number(joined.source, labels.dataset, labels.label, "labels", "label")
        held, data, version = (None, b"", None)
        if spec.evaluation is not None:
            held, data, version = outcomes.held_out(spec.evaluation, desired, ctx)
        task = "binary" if held is None else held.task
        metrics: Sequence[str] = labels.metrics or _USUAL_METRICS[task]
        _refuse_other_metrics(labels, metrics, task)
        followed = _followed(labels, held, task)
        outcome = [labels.dataset, labels.label, labels.delay, joined.id, joined.key]
        sought = [labels.detector, followed, labels.run_length, version, *outcome]
        part = {
            "joining": joined.model_dump(mode="json"),
            "label": labels.label,
            "task": task,
            "window_seconds": labels.window,
            "metrics": list(metrics),
            "margins": {str(name): margin for name, margin in labels.margin.items()},
            "label_margin": None
            if held is None
            else LABEL_MARGIN
            if labels.label_margin is None
            else labels.label_margin,
            "alpha": labels.alpha,
            "min_labels": labels.min_labels,
            "min_coverage": labels.min_coverage,
            "detector": labels.detector,
            **followed,
            "run_length": labels.run_length if labels.detector == "e_detector" else None,
            "held_out": None
            if held is None
            else os.path.relpath(ctx.folder(desired.key) / outcomes.HELD_OUT_FILE, ctx.root),
            "version": version,
            "identity": digest(sought),
        }
        return Frozen(part, {} if held is None else {outcomes.HELD_OUT_FILE: data})

    def describe(self, job: Mapping[str, Any]) -> str:
        """Where labels come from, when, and what watches them."""
        wait = format_duration(job["joining"]["within_window_seconds"])
        bound = "" if job["baseline"] is None else f" from {job['baseline']:.4g}"
        return f"labels of {outcomes.joining_text(job['joining'])} within {wait}, {job['detector']}{bound}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """How many labels there are, what they say, and the days."""
        counts = figures["labels"]
        yield (
            f"labels   {figures['predictions']} predictions: {counts['labelled']} labelled, {counts['pending']} pending, "
            f"{counts['missing']} missing ({_share(figures['coverage'])} of the ripe are labelled)"
        )
        refused = {name: count for name, count in figures["refused"].items() if count}
        if refused:
            yield "refused  " + ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in refused.items())
        for name, found in figures["metrics"].items():
            if found["value"] is not None:
                told = "" if found["reference"] is None else f" (held out {found['reference']:.4g})"
                yield f"{found['verdict'].replace('_', ' '):<8} {name} {found['value']:.4g}{told}, n={found['rows']}"
        detector = figures["detector"]
        yield f"detector {detector['says']}"
        for day in figures["cohorts"][-7:]:
            shown = ", ".join(f"{name} {value:.4g}" for name, value in day["metrics"].items() if value is not None)
            yield f"{day['day']}  v{day['version']}  n={day['predictions']}  ripe {_share(day['maturity'])}  {shown or 'nothing yet'}"


def _followed(labels: Labels, held: HeldOut | None, task: str) -> dict[str, Json]:
    """The loss that the detector follows, the bound that it starts from, and of numbers the error that is a large one."""
    loss = "exceedance" if task == "regression" else labels.loss or "error_rate"
    if labels.detector == "adwin" and loss != "exceedance":
        return {"loss": loss, "baseline": None, "beyond": None}
    if labels.baseline is not None:
        rate, rows = labels.baseline.error_rate, labels.baseline.rows
        bound = rate if rows is None else binomial_limits(round(rate * rows), rows, CONFIDENCE)[1]
        return {"loss": loss, "baseline": _possible(bound), "beyond": None}
    if held is None:
        raise ValueError("the detector has no baseline: `check` refuses that")
    pairs = list(zip(held.scores, held.targets, strict=True))
    if loss == "exceedance":
        errors = sorted(abs(score - target) for score, target in pairs)
        usual = min(int(_USUAL_ERRORS * len(errors)), len(errors) - 1)
        above = sum(error > errors[usual] for error in errors)
        bound = binomial_limits(above, len(errors), CONFIDENCE)[1]
        return {
            "loss": loss,
            "baseline": _possible(bound) if labels.detector == "e_detector" else None,
            "beyond": errors[usual],
        }
    if loss == "brier":
        return {
            "loss": loss,
            "baseline": _possible(mean_limit([(score - target) ** 2 for score, target in pairs], CONFIDENCE)),
            "beyond": None,
        }
    wrong = sum((score >= THRESHOLD) != (target == 1) for score, target in pairs)
    return {"loss": loss, "baseline": _possible(binomial_limits(wrong, len(pairs), CONFIDENCE)[1]), "beyond": None}


def _possible(bound: float) -> float:
    """Raise MlctlError for a bound that nothing can be worse than."""
    if bound < 1:
        return bound
    raise MlctlError.of(
        "monitor.baseline-too-wide",
        "the evaluation judged too few rows for its error to have a bound",
        "every error rate up to 1 is compatible with them",
        "evaluate on more rows",
    )


def _refuse_other_metrics(labels: Labels, metrics: Sequence[str], task: str) -> None:
    for metric in (*metrics, *labels.margin):
        if (metric in BINARY_LABEL_METRICS) != (task == "binary"):
            raise MlctlError.of(
                "monitor.metric-task",
                f"`{metric}` does not go with a {task} model",
                "the task is that of the evaluation, and binary without one",
                f"use {', '.join(BINARY_LABEL_METRICS) if task == 'binary' else 'mae, rmse'}",
            )
    if task == "regression" and (labels.baseline is not None or labels.loss is not None):
        field = "baseline" if labels.baseline is not None else "loss"
        raise MlctlError.of(
            "monitor.no-effect",
            f"`labels.{field}` has no effect for numbers",
            "the detector counts errors that are larger than nine tenths of the held-out ones",
            "remove it",
        )


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.0%}"
