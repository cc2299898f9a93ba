"""The part `estimated`: a metric of now, from calibrated scores and no label."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import outcomes
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError

_LEAST_ROWS, _LEAST_OF_A_CLASS = 200, 20


class EstimatedPart:
    """Confidence-based estimation, with an interval."""

    name: ClassVar[str] = "estimated"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """Scores are calibrated by an evaluation."""
        if spec.estimated is not None and spec.evaluation is None:
            yield outcomes.no_evaluation("estimated", "scores mean something once it was seen how often they are right")

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """The held-out scores that calibrate those to come."""
        block = spec.estimated
        if block is None or spec.evaluation is None:
            raise ValueError("the part has no block, or no evaluation: `check` refuses that")
        held, data, version = outcomes.held_out(spec.evaluation, desired, ctx)
        positives = sum(held.targets)
        least = min(positives, len(held.targets) - positives)
        if held.task != "binary":
            raise MlctlError.of(
                "monitor.metric-task",
                "only a binary model can be estimated from its scores",
                "a number says nothing of how far off it is",
                "remove `estimated`; `labels` watches models of numbers",
            )
        if (
            len(held.scores) < _LEAST_ROWS
            or least < _LEAST_OF_A_CLASS
            or not all(0 <= score <= 1 for score in held.scores)
        ):
            raise MlctlError.of(
                "monitor.not-calibrated",
                f"the scores of evaluations.{spec.evaluation} cannot be calibrated",
                f"that needs scores between 0 and 1 of at least {_LEAST_ROWS} rows, {_LEAST_OF_A_CLASS} of each class; there are {len(held.scores)}, {least:g} of the rarer class",
                "evaluate on more rows, or remove `estimated`",
            )
        part = {
            "metric": block.metric,
            "margin": block.margin,
            "alpha": block.alpha,
            "window_seconds": block.window,
            "min_rows": block.min_rows,
            "held_out": os.path.relpath(ctx.folder(desired.key) / outcomes.HELD_OUT_FILE, ctx.root),
            "version": version,
        }
        return Frozen(part, {outcomes.HELD_OUT_FILE: data})

    def describe(self, job: Mapping[str, Any]) -> str:
        """The metric."""
        return f"{job['metric']} estimated without labels"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """The estimate, and what it cannot see."""
        if figures["value"] is not None:
            yield (
                f"{figures['metric']} {figures['value']:.4g} [{figures['low']:.4g}, {figures['high']:.4g}] estimated, "
                f"{figures['reference']:.4g} held out, n={figures['rows']}"
            )
        yield f"blind    {figures['cannot_see']}"
