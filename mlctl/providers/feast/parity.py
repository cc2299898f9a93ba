"""What `mlctl features parity` and `mlctl features get` run: worker programs on a view that is online."""

from __future__ import annotations

from collections.abc import Sequence

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.features import GetParams, OnlineView, Parity, ParityParams, Store, ViewSource
from mlctl.types.state import Record
from mlctl.types.value import Json

PROGRAM = "features"
TOLERANCE = 1e-5  # 0.001 %


def run_parity(record: Record, ctx: Context) -> Parity:
    """Compare offline and online features of every key at the last served snapshot. Raises MlctlError when either cannot be read."""
    outputs = _online(record)
    params = ParityParams(
        source=ViewSource.from_outputs(outputs),
        store=Store.model_validate(outputs["store"]),
        at=outputs["evidence"]["online_until"],
        tolerance=TOLERANCE,
    )
    folder = ctx.folder(record.key) / "parity"
    job.discard(folder)  # a verdict is about now, so an earlier one is never taken for it
    return Parity.model_validate(job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs)


def get_online(record: Record, keys: Sequence[str], ctx: Context) -> list[dict[str, Json]]:
    """The online features of some keys as served now: {join key: value, feature: value or None}, in the order of the keys."""
    outputs = _online(record)
    view = OnlineView(view=outputs["view"], features=list(outputs["features"]), ttl_seconds=outputs["ttl_seconds"])
    typed = [_key(text, outputs) for text in keys]
    params = GetParams(
        store=Store.model_validate(outputs["store"]), join_key=outputs["join_key"], views=[view], keys=typed
    )
    folder = ctx.folder(record.key) / "get"
    job.discard(folder)
    rows: list[dict[str, Json]] = job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs["rows"]
    return rows


def _online(record: Record) -> dict[str, Json]:
    """The outputs of a view that is served. Raises MlctlError."""
    if not record.complete or "online" not in record.outputs:
        raise MlctlError.of(
            "features.not-made",
            f"{record.key.address} is not made yet",
            "its last apply did not end",
            "run `mlctl apply`",
            address=str(record.key.address),
        )
    if not record.outputs["online"]:
        raise MlctlError.of(
            "features.not-online",
            f"{record.key.address} is not served online",
            "it has `online: false`",
            "set `online: true` and run `mlctl apply`",
            address=str(record.key.address),
        )
    return dict(record.outputs)


def _key(text: str, outputs: dict[str, Json]) -> int | str:
    """A key from the command line as the entity's type. Raises MlctlError."""
    if outputs["dtype"] == "string":
        return text
    try:
        return int(text)
    except ValueError:
        raise MlctlError.of(
            "features.bad-key",
            f"{text!r} is not a key: `{outputs['join_key']}` is an integer",
            "",
            "give a whole number",
        ) from None
