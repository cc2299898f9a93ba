"""Certify a design before it is launched: push synthetic streams through its looks, guardrails, sample ratio check and rule."""

from __future__ import annotations

import math
from collections.abc import Mapping
from statistics import NormalDist
from typing import Any

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.ab_test.design import Sizing, spread
from mlctl.providers.ab_test.metrics import Denominator, Guardrail
from mlctl.providers.ab_test.spec import CONTROL, ExperimentSpec
from mlctl.stats.group_sequential import equal_looks
from mlctl.types.diagnostic import ExitCode
from mlctl.types.jobs.certify import CertifyJob, PlayedMetric

_ANY_TIME = 14  # looks that are played of a design that may be looked at whenever one likes
FOLDER = "certify"


def certify(spec: ExperimentSpec, name: str, runs: int, seed: int, ctx: Context) -> dict[str, Any]:
    """What came of the streams, with the bars. The spec must have passed its check. Raises MlctlError when it could not be done."""
    sizing = Sizing(spec)
    params = job_of(sizing, name, runs, seed)
    result = job.run("certify", params.model_dump(mode="json"), ctx.home / FOLDER / name, ctx)
    found: dict[str, Any] = dict(result.outputs)
    return {
        **found,
        "alpha": spec.design.alpha,
        "power": spec.design.power,
        "assumed": [metric.name for metric in params.metrics if metric.assumed],
        "holds": holds(found, spec),
    }


def holds(found: Mapping[str, Any], spec: ExperimentSpec) -> dict[str, bool]:
    """Whether the design keeps what it promises, as far as the streams can tell: intervals that lie beyond a bar break it."""
    return {
        "false_positives": found["aa"]["claims"]["low"] <= spec.design.alpha,
        "power": found["ab"]["shipped"]["high"] >= spec.design.power,
    }


def exit_code(report: Mapping[str, Any]) -> ExitCode:
    """A design that does not keep what it promises is a gate that did not pass."""
    return ExitCode.OK if all(report["holds"].values()) else ExitCode.GATE_FAILED


def job_of(sizing: Sizing, name: str, runs: int, seed: int) -> CertifyJob:
    """What the program is asked to play."""
    spec, total = sizing.spec, sum(sizing.units.values())
    looks = sizing.looks or _ANY_TIME
    least = 0.0
    if sizing.weeks is not None:
        least = spec.design.min_duration / (sizing.weeks * 7 * 86400)
    fractions = equal_looks(looks)
    return CertifyJob(
        experiment=name,
        rules=sizing.rules().to_json(),
        metrics=[*_success(sizing), *(_guardrail(one, sizing) for one in spec.guardrails)],
        looks=[math.ceil(total * fraction - 1e-9) for fraction in fractions],
        early=sum(fraction < least - 1e-9 for fraction in fractions),
        runs=runs,
        seed=seed,
    )


def _success(sizing: Sizing) -> list[PlayedMetric]:
    """The primary metric with its effect; the others without any, drawn as normal values, since nothing is known of them."""
    spec, primary = sizing.spec, sizing.spec.primary
    r2 = None if spec.cuped is None else spec.cuped.r2
    kind = "mean" if primary.type == "proportion" and r2 is not None else primary.type
    std = primary.std or 0.0
    if primary.type == "proportion":
        std = spread("proportion", primary.baseline, None, None)
    played = PlayedMetric(
        name=primary.metric,
        kind=kind,
        baseline=primary.baseline,
        std=std if kind == "ratio" else (std or 1.0),
        effect=spec.difference,
        better=spec.better,
        denominator=_below(primary.denominator) if kind == "ratio" else None,
        r2=None if kind == "ratio" else r2,
    )
    others = [
        PlayedMetric(name=one.metric, kind="mean", baseline=0.0, std=1.0, better="higher")
        for one in spec.success_metrics
    ]
    return [played, *others]


def _guardrail(guardrail: Guardrail, sizing: Sizing) -> PlayedMetric:
    """As its baseline says; without one, with just the power that the design gives to each test."""
    spec = sizing.spec
    if guardrail.baseline is not None:
        kind = guardrail.type or (
            "proportion" if guardrail.metric == "error_rate" and guardrail.std is None else "mean"
        )
        std = guardrail.std or 0.0  # of a ratio: its numerator's
        if kind != "ratio":
            std = spread(kind, guardrail.baseline, guardrail.std, None)
        return PlayedMetric(
            name=guardrail.metric,
            kind=kind,
            baseline=guardrail.baseline,
            std=std,
            better=guardrail.better,
            denominator=_below(guardrail.denominator) if kind == "ratio" else None,
            margin=guardrail.margin,
            max_ratio=guardrail.max_ratio,
        )
    control = sizing.units_at_once[CONTROL]
    least = min(count for name, count in sizing.units_at_once.items() if name != CONTROL)
    quantile = NormalDist().inv_cdf
    side = spec.design.alpha / spec.design.tails
    error = 1 / (quantile(1 - side) + quantile(sizing.power))  # of a margin of 1
    return PlayedMetric(
        name=guardrail.metric,
        kind="mean",
        baseline=0.0,
        std=error / math.sqrt(1 / control + 1 / least),
        better=guardrail.better,
        margin=1.0,
        assumed=True,
    )


def _below(denominator: Denominator | None) -> tuple[float, float, float] | None:
    if denominator is None:
        return None
    return denominator.mean or 1.0, denominator.std or 0.0, denominator.correlation or 0.0


def certify_text(report: Mapping[str, Any]) -> str:
    """The report for a person."""
    aa, ab = report["aa"], report["ab"]
    runs = aa["runs"]
    lines = [
        f"{report['experiment']}: {runs:,} streams without an effect, {runs:,} with it; up to {report['looks']} looks at {report['units']:,} units",
        f"  false positives  {_share(aa['claims'])}   at most {report['alpha']:.1%}{_broken(report, 'false_positives')}",
        f"  power            {_share(ab['shipped'])}   at least {report['power']:.0%}{_broken(report, 'power')}",
        f"  sample ratio     {_share(aa['invalid'])}   of good streams called invalid",
        f"  guardrails       {_share(ab['stopped_by_guardrail'])}   stopped for one, though none was touched",
        f"  units used       {ab['mean_units']:,.0f} on average with the effect, {aa['mean_units']:,.0f} without",
    ]
    if report["assumed"]:
        lines.append(
            f"  assumed          {', '.join(report['assumed'])}: no baseline is given, so each was drawn with the power that it was sized for"
        )
    return "\n".join(lines)


def _share(found: Mapping[str, float]) -> str:
    return f"{100 * found['share']:6.2f} % ({100 * found['low']:.2f} to {100 * found['high']:.2f})"


def _broken(report: Mapping[str, Any], bar: str) -> str:
    return "" if report["holds"][bar] else "   <- not kept"
