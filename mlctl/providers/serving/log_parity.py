"""What `mlctl features parity --deployment` runs: a worker program that computes again what a deployed model saw."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import LogParityParams, ViewSource
from mlctl.types.jobs.parity import LogParity
from mlctl.types.jobs.server import ServedFeatures
from mlctl.types.state import Record

TOLERANCE = 1e-5  # 0.001 %


def run_log_parity(
    deployment: Record,
    records: Mapping[str, Record],
    ctx: Context,
    *,
    since_seconds: float | None = None,
    sample: int | None = None,
    seed: int = 0,
    tolerance: float = TOLERANCE,
    max_lag_seconds: float = 0.0,
) -> LogParity:
    """Compare the predictions of the version that is served. Raises MlctlError when there is nothing to compare with."""
    address = str(deployment.key.address)
    folder, version = deployment.outputs.get("predictions"), deployment.outputs.get("version")
    if folder is None or version is None:
        raise MlctlError.of(
            "features.no-log",
            f"{address} logs no predictions" if version is not None else f"{address} is not deployed",
            "what a model saw is known from its prediction log",
            "set `log: {predictions: true, features: true}`" if version is not None else "run `mlctl apply`",
            address=address,
        )
    serving = _serving(deployment, records)
    made = {
        str(record.outputs["view"]): record
        for name, record in records.items()
        if name.startswith("feature_views.") and record.complete and "view" in record.outputs
    }
    gone = [view.view for view in serving.views if view.view not in made]
    if gone or not serving.views:
        raise MlctlError.of(
            "features.no-views",
            f"the snapshots of {', '.join(gone)} are gone" if gone else f"the model of {address} reads no feature view",
            "features are recomputed from the snapshots of its views",
            "run `mlctl apply`" if gone else "",
            address=address,
        )
    now = datetime.now(UTC)
    params = LogParityParams(
        predictions=str(folder),
        sources=[ViewSource.from_outputs(made[view.view].outputs) for view in serving.views],
        transformations=serving.transformations,
        features=serving.columns,
        version=str(version),
        since=None if since_seconds is None else (now - timedelta(seconds=since_seconds)).isoformat(),
        until=now.isoformat(),
        tolerance=tolerance,
        sample=sample,
        seed=seed,
        max_lag_seconds=max_lag_seconds,
    )
    place = ctx.folder(deployment.key) / "log-parity"
    job.discard(place)  # a verdict is about now, so an earlier one is never taken for it
    return LogParity.model_validate(job.run("features", params.model_dump(mode="json"), place, ctx).outputs)


def _serving(deployment: Record, records: Mapping[str, Record]) -> ServedFeatures:
    """How the served model turns a request into a row, from the evaluation that let it pass."""
    for use in deployment.uses:
        record = records.get(str(use.key.address))
        if use.key.address.section == "evaluations" and record is not None and record.outputs.get("serving"):
            serving = record.outputs["serving"]
            readable = serving.get("join_key") is None  # as 0.1 wrote it, the types of keys are not there
            if readable and str(record.outputs.get("version")) == str(deployment.outputs.get("version")):
                known = {name: serving[name] for name in ServedFeatures.model_fields if serving.get(name) is not None}
                return ServedFeatures.model_validate(known)
    address = str(deployment.key.address)
    raise MlctlError.of(
        "features.model-unknown",
        f"how the model of {address} reads its features is not known",
        "the evaluation that let it pass has made way for another, which is not deployed yet",
        "run `mlctl apply`",
        address=address,
    )
