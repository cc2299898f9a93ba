"""What `mlctl features parity` runs: a worker program that compares a view online with its snapshots."""

from __future__ import annotations

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.feast.recorded import outputs_of
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import Parity, ParityParams, Store, ViewSource
from mlctl.types.state import Record
from mlctl.types.value import Json

PROGRAM = "features"
TOLERANCE = 1e-5  # 0.001 %


def run_parity(
    record: Record, ctx: Context, *, sample: int | None = None, seed: int = 0, tolerance: float = TOLERANCE
) -> Parity:
    """Compare offline and online features at the last served snapshot, of every key or of a sample. Raises MlctlError when either cannot be read."""
    outputs = online_outputs(record)
    params = ParityParams(
        source=ViewSource.from_outputs(outputs),
        store=Store.model_validate(outputs["store"]),
        at=outputs["evidence"]["online_until"],
        tolerance=tolerance,
        sample=sample,
        seed=seed,
    )
    folder = ctx.folder(record.key) / "parity"
    job.discard(folder)  # a verdict is about now, so an earlier one is never taken for it
    return Parity.model_validate(job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs)


def online_outputs(record: Record) -> dict[str, Json]:
    """The outputs of a view that is served. Raises MlctlError."""
    outputs = outputs_of(record)
    if not outputs["online"]:
        raise MlctlError.of(
            "features.not-online",
            f"{record.key.address} is not served online",
            "it has `online: false`",
            "set `online: true` and run `mlctl apply`",
            address=str(record.key.address),
        )
    return outputs
