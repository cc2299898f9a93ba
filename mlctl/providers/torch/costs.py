"""What the devices of a training cost by the hour, and when the project's budget ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.estimate import money
from mlctl.estimate.devices import sheet_name
from mlctl.estimate.limits import BUDGET, DOLLARS, MARGIN, limit
from mlctl.estimate.prices import Price
from mlctl.launch import job
from mlctl.launch.job import JobState
from mlctl.processes import worker
from mlctl.provider import Context
from mlctl.providers.torch.devices import Place, place_of
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types import job as contract
from mlctl.types.estimate import Limit, Range
from mlctl.types.jobs.train import JobLimit, TrainJob

# Executors that are told a time by which they end a training themselves. All others end it through whoever follows it.
_CARRYING = ("slurm", "kubernetes", "skypilot")
_MACHINES = ("local", "torchrun", "ray", "skypilot")  # that take whole machines; others may share one with anybody


@dataclass(frozen=True, slots=True)
class Rent:
    """The price of a training's devices. `hourly` is of all of them together; None where it is not known."""

    tier: str | None
    hourly: Range | None = None
    price: Price | None = None
    note: str = ""


def rent_of(spec: TrainingSpec, place: Place, ctx: Context) -> Rent:
    """What a place costs. What is owned costs what the price list says of it, and else nothing that is known here."""
    whole = place.known and spec.executor.type in _MACHINES
    if place.tier is None and place.device.host and not whole:
        return Rent(None)
    name = sheet_name(place.device)
    asked: Any = spec.executor
    price = ctx.prices.price_at(name, place.tier or "owned", getattr(asked, "infra", None))
    if price is None and place.tier is None:
        return Rent(None)
    if price is None:
        return Rent(place.tier, note=f"no price is known for {name} ({place.tier})")
    found = money.hourly(paid(place), price)
    most = getattr(asked, "max_hourly_cost", None)
    if place.tier is not None and most is not None:  # dearer machines are not taken
        most *= place.hosts
        found = Range(min(found.low, most), min(found.mid, most), min(found.high, most), found.basis)
    return Rent(place.tier or "owned", found, price)


def paid(place: Place) -> int:
    """Devices that are paid for: a machine without GPUs counts as one, whatever its cores."""
    return place.hosts if place.device.host else place.device.count


def limit_of(spec: TrainingSpec, rent: Rent, ctx: Context) -> Limit | None:
    """When the budget ends a training. Of a search each trial is a job of its own, so that nobody but us ends all of it."""
    carried = spec.executor.type in _CARRYING and spec.search is None
    return limit(ctx.settings.get(BUDGET), rent.hourly, carried=carried)


def uncarried(spec: TrainingSpec, found: Limit | None) -> str:
    """A word on a limit that a cluster is not told of."""
    executor: Any = spec.executor
    if found is None or executor.type != "ray" or executor.address is None:
        return ""
    return "a Ray cluster is told no limit: the budget ends it only while mlctl follows it"


def limited(made: TrainJob, spec: TrainingSpec, folder: Path, ctx: Context) -> TrainJob:
    """The job with its limit. One that is at work, or over, keeps the limit it was started with: another price is no reason to
    start it anew."""
    if job.state(folder) in (JobState.RUNNING, JobState.DONE):
        stored = (worker.read_object(folder / contract.JOB_FILE) or {}).get("params", {}).get("limit")
        return made.model_copy(update={"limit": None if stored is None else JobLimit.model_validate(stored)})
    return made.model_copy(update={"limit": job_limit(spec, ctx)})


def job_limit(spec: TrainingSpec, ctx: Context) -> JobLimit | None:
    """The limit as the worker program is told it, for executors that carry it."""
    budget: Mapping[str, Any] = ctx.settings.get(BUDGET) or {}
    if spec.executor.type not in _CARRYING or not any(value is not None for value in budget.values()):
        return None
    place = place_of(spec)
    rent = rent_of(spec, place, ctx)
    found = limit_of(spec, rent, ctx)
    if found is None:
        return None
    dollars = any(budget.get(name) is not None for name in DOLLARS)
    node = rent.hourly.high / place.hosts * MARGIN if dollars and rent.hourly is not None else None
    return JobLimit(
        seconds=round(found.seconds), by=found.by, node_usd_per_hour=None if node is None else round(node, 4)
    )
