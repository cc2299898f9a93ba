"""From an applied experiment and the objects it reads to the job that analyses it, and the design that decides."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from mlctl.provider import Context
from mlctl.providers.ab_test.design import Sizing
from mlctl.providers.ab_test.metrics import Guardrail, Primary, Success
from mlctl.providers.ab_test.spec import DEFAULT_LOOKS, SEQUENTIAL, ExperimentSpec
from mlctl.providers.ab_test.spec import Exposures as ExposuresBlock
from mlctl.stats.experiment_analysis import Design, Judged
from mlctl.stats.experiment_verdict import Look, Rules
from mlctl.types.address import Address
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.experiment import (
    OPERATIONS,
    ExperimentJob,
    LogExposures,
    Metric,
    Outcomes,
    TableExposures,
)
from mlctl.types.jobs.profile import Source, dataset_digest
from mlctl.types.state import Record
from mlctl.types.value import digest

_WEEK = 7 * 86_400.0
Records = Mapping[str, Record]


def applied_spec(record: Record) -> ExperimentSpec:
    """The design that was applied; what the project says by now is for the next apply. Raises MlctlError."""
    if not {"analysis", "rules", "started"} <= record.outputs.keys():
        raise MlctlError.of(
            "experiment.not-applied",
            f"{record.key.address} was not applied by this mlctl",
            "a design is fixed before the first unit comes, and what an earlier mlctl kept of it is not enough to decide by",
            f"run `mlctl apply --replace {record.key.address}`",
        )
    return ExperimentSpec.model_validate(dict(record.spec))


def design_of(record: Record) -> Design:
    """What the analysis decides by. Looks and decisions of one digest go together: coverage and descriptions are not in it."""
    spec, outputs = applied_spec(record), record.outputs
    counted = [outputs[name] for name in ("unit", "salt", "analysis", "guardrails", "rules")]
    sequential, design = spec.design.sequential in SEQUENTIAL, spec.design
    cuped = spec.cuped is not None
    success = [
        Judged(one.metric, one.type, spec.better if isinstance(one, Primary) else one.better, cuped=cuped, window_seconds=_window(spec, one) or 0.0)
        for one in spec.success
    ]  # fmt: skip
    guards = [
        Judged(one.metric, one.type or "ratio", one.better, True, one.margin, one.max_ratio, window_seconds=_window(spec, one) or 0.0)
        for one in spec.guardrails
    ]  # fmt: skip
    return Design(
        digest([*counted, design.model_dump(mode="json")]),
        Rules.from_json(outputs["rules"]),
        (*success, *guards),
        min_seconds=design.min_duration,
        max_seconds=None if design.max_weeks is None else design.max_weeks * _WEEK,
        looks=(design.looks or DEFAULT_LOOKS) if sequential and design.every is None else None,
        every_seconds=design.every,
    )


def job_of(
    record: Record, records: Records, until: datetime, looks: list[Look], ctx: Context, *, final: bool
) -> ExperimentJob:
    """The job. Raises MlctlError when something that it reads is not there, or was changed since it was applied."""
    spec, name = applied_spec(record), record.key.address.name
    measured: list[Primary | Success | Guardrail] = [
        *spec.success,
        *(one for one in spec.guardrails if one.metric not in OPERATIONS),
    ]
    operations = [one.metric for one in spec.guardrails if one.metric in OPERATIONS]
    return ExperimentJob(
        experiment=name,
        arms=list(Sizing(spec).shares),
        exposures=_log(spec, record, records) if spec.exposures is None else _table(spec, spec.exposures, records, ctx),
        outcomes=_outcomes(spec, records, name, ctx),
        metrics=[_metric(spec, one) for one in measured],
        operations=operations,
        log=_log(spec, record, records) if operations else None,
        subgroups=list(spec.subgroups),
        until=until.isoformat(),
        final=final,
        design=design_of(record).to_json(),
        looks=[look.to_json() for look in looks],
    )


def data_of(spec: ExperimentSpec, records: Records) -> dict[str, str]:
    """The digests of the datasets that an analysis reads."""
    names = {block.dataset for block in (spec.exposures, spec.outcomes) if block is not None}
    return {f"datasets.{name}": str(records[f"datasets.{name}"].digest) for name in sorted(names)}


def _window(spec: ExperimentSpec, metric: Primary | Success | Guardrail) -> float | None:
    return metric.window if metric.window is not None else None if spec.outcomes is None else spec.outcomes.window


def _metric(spec: ExperimentSpec, metric: Primary | Success | Guardrail) -> Metric:
    below, cuped = metric.denominator, None if isinstance(metric, Guardrail) else spec.cuped
    return Metric.model_validate(
        {
            "name": metric.metric,
            "type": metric.type,
            "column": metric.column or metric.metric,
            "aggregate": metric.aggregate or ("any" if metric.type == "proportion" else "sum"),
            "denominator": None if below is None else below.column,
            "denominator_aggregate": "sum" if below is None else below.aggregate,
            "window_seconds": _window(spec, metric),
            "covariate": None if cuped is None else cuped.column,
            "pre_seconds": None if cuped is None else cuped.before,
        }
    )


def _log(spec: ExperimentSpec, record: Record, records: Records) -> LogExposures:
    found = records.get(f"deployments.{spec.deployment}")
    folder = None if found is None else found.outputs.get("predictions")
    if not isinstance(folder, str):
        raise MlctlError.of(
            "experiment.no-log",
            f"deployments.{spec.deployment} logs no predictions"
            if found
            else f"deployments.{spec.deployment} was not applied",
            "who was shown which arm, and how it was answered, is read from its prediction log",
            "set `log: {predictions: true}` there and apply it, or name a dataset under `exposures`",
        )
    return LogExposures(deployment=spec.deployment, folder=folder, since=str(record.outputs["started"]))


def _table(spec: ExperimentSpec, block: ExposuresBlock, records: Records, ctx: Context) -> TableExposures:
    return TableExposures(
        name=block.dataset,
        source=_source(block.dataset, records, ctx),
        unit=block.unit or spec.unit,
        arm=block.arm,
        timestamp=block.timestamp,
    )


def _outcomes(spec: ExperimentSpec, records: Records, name: str, ctx: Context) -> Outcomes:
    if spec.outcomes is None:
        raise MlctlError.of(
            "experiment.no-outcomes",
            f"experiments.{name} does not say where outcomes are",
            f"`{spec.primary.metric}` is read from what units did after they were shown their arm",
            "add `outcomes: {dataset: ..., timestamp: ..., window: 7d}`, and run `mlctl apply`",
        )
    block = spec.outcomes
    source = _source(block.dataset, records, ctx)
    return Outcomes(name=block.dataset, source=source, unit=block.unit or spec.unit, timestamp=block.timestamp)


def _source(name: str, records: Records, ctx: Context) -> Source:
    """The rows of a dataset as it was applied. Raises MlctlError when they are not in files, or not those any more."""
    address = str(Address("datasets", name))
    record = records.get(address)
    if record is None or "files" not in record.outputs:
        raise MlctlError.of(
            "experiment.no-data",
            f"{address} was not applied yet" if record is None else f"the rows of {address} stay in their database",
            "an analysis reads files, as the last apply left them",
            "run `mlctl apply`" if record is None else f"remove `copy: false` from {address}",
        )
    files: list[str] = [str(file) for file in record.outputs["files"]]
    try:
        now = dataset_digest(record.outputs, ctx.digests.files(files, ctx.root))
    except OSError:
        now = ""
    if now != record.outputs.get("digest"):
        raise MlctlError.of(
            "experiment.data-changed",
            f"the files of {address} are not those that were applied",
            "half of a new version would be read as if it were the whole",
            "run `mlctl apply`, then analyse",
        )
    return Source.of(record.outputs)
