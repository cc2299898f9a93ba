"""A3: a model is deployed that was never held against rows it had not seen."""

from __future__ import annotations

import math
from collections.abc import Iterator

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A3", "deploy without eval set", "a worse model replaces a better one, and nobody knows")
_SURE = 1.96  # standard errors: an interval of 95 %
_RATES = ("accuracy", "precision", "recall", "f1", "exact_match")


def check(case: Case) -> Iterator[Finding]:
    """Other rows than were trained on, a baseline, and enough rows. That there is an evaluation at all, `validate` asks for."""
    for deployment in case.all("deployments"):
        for gate in case.uses(deployment, "evaluations"):
            yield from _same_rows(case, gate)
            yield from _no_baseline(gate)
            yield from _within_noise(gate)


def _same_rows(case: Case, gate: Subject) -> Iterator[Finding]:
    for dataset in case.uses(gate, "datasets"):
        for training in case.uses(gate, "training"):
            for learnt in case.uses(training, "datasets"):
                if dataset.output("digest") is not None and dataset.output("digest") == learnt.output("digest"):
                    yield Finding(
                        PATTERN,
                        Severity.ERROR,
                        f"{gate.address} judges on the rows that {training.address} learnt from",
                        (
                            f"{gate.address} dataset: {dataset.address.name}",
                            f"{training.address} reads {learnt.address}",
                        ),
                        "evaluate on rows that are held back: later ones, or other units",
                        gate.address,
                        ("dataset",),
                    )


def _no_baseline(gate: Subject) -> Iterator[Finding]:
    bars = gate.get("require") or {}
    if not any(bar.get("not_worse_than") or bar.get("better_than") for bar in bars.values()):
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"{gate.address} holds a model against fixed numbers alone",
            (f"{gate.address} require: {', '.join(bars)}, none against the champion",),
            "add `not_worse_than: champion` with a `margin` to one of them",
            gate.address,
            ("require",),
        )


def _within_noise(gate: Subject) -> Iterator[Finding]:
    """A bar that was passed by less than the rows can show. For a ROC AUC after Hanley and McNeil 1982, with even classes."""
    rows, metrics = gate.output("rows"), gate.output("metrics") or {}
    if not isinstance(rows, int) or rows < 1:
        return
    for metric, bar in (gate.get("require") or {}).items():
        value, least = metrics.get(metric), bar.get("min")
        if least is None or not isinstance(value, int | float) or not 0 < value < 1:
            continue
        error = (
            _rate_error(value, rows) if metric in _RATES else _auc_error(value, rows) if metric == "roc_auc" else 0.0
        )
        if value >= least > value - _SURE * error:
            yield Finding(
                PATTERN,
                Severity.WARNING,
                f"{gate.address} passed {metric} by less than {rows:,} rows can show",
                (f"{gate.evidence}: {metric} {value:.4f} ± {_SURE * error:.4f}, min {least:g}",),
                f"evaluate on more rows: about {math.ceil(rows * (_SURE * error / max(value - least, 1e-6)) ** 2):,}"
                if value > least
                else "evaluate on more rows, or lower the bar knowingly",
                gate.address,
                ("require", metric),
            )


def _rate_error(value: float, rows: int) -> float:
    return math.sqrt(value * (1 - value) / rows)


def _auc_error(value: float, rows: int) -> float:
    half = max(rows / 2, 1.0)
    first, second = value / (2 - value), 2 * value**2 / (1 + value)
    spread = value * (1 - value) + (half - 1) * (first - value**2) + (half - 1) * (second - value**2)
    return math.sqrt(max(spread, 0.0)) / half
