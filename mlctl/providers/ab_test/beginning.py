"""When an experiment began, and what is left of it when it ends."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from typing import Any

from mlctl.files.advice import withdraw
from mlctl.provider import Context
from mlctl.providers.ab_test.spec import ExperimentSpec
from mlctl.types.state import Record


def begun(spec: ExperimentSpec, salt: str, prior: Record | None, ctx: Context) -> str:
    """The moment from which the log of the deployment tells who was exposed: that of the first apply by which these units were drawn.

    Advice that rests on another draw is taken back.
    """
    known: Any = {} if prior is None else prior.outputs
    same = (known.get("unit"), known.get("salt"), [*known.get("arms", {})]) == (spec.unit, salt, [*spec.weights])
    if same and isinstance(known.get("started"), str):
        return str(known["started"])
    if prior is not None:
        _withdraw(prior, ctx)
    return datetime.now(UTC).isoformat(timespec="seconds")


def clear(prior: Record, ctx: Context) -> None:
    """Remove the folder of the analyses, and take back the advice on the deployment."""
    _withdraw(prior, ctx)
    shutil.rmtree(ctx.folder(prior.key), ignore_errors=True)


def _withdraw(prior: Record, ctx: Context) -> None:
    if (name := prior.outputs.get("deployment")) is not None:
        withdraw(ctx.home, f"deployments.{name}", str(prior.key.address))
