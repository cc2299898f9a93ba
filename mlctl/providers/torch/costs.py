"""What the devices of a training cost by the hour, and when the project's budget ends it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mlctl.estimate import money
from mlctl.estimate.devices import sheet_name
from mlctl.estimate.limits import BUDGET, DOLLARS, MARGIN, limit
from mlctl.estimate.prices import Price
from mlctl.files import atomic
from mlctl.launch import job
from mlctl.launch.job import JobState
from mlctl.provider import Context
from mlctl.providers.torch import taken
from mlctl.providers.torch.devices import TrainingPlace, place_of
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.types import job as contract
from mlctl.types.estimate import Limit, Range
from mlctl.types.jobs.executors import PLACED_FILE
from mlctl.types.jobs.train import JobLimit, TrainJob

# Executors that are told a time by which they end a training themselves. All others end it through whoever follows it.
_CARRYING = ("slurm", "kubernetes", "skypilot")
_MACHINES = ("local", "torchrun", "ray", "skypilot")  # that take whole machines; others may share one with anybody


@dataclass(frozen=True, slots=True)
class Rent:
    """The price of a training's devices. `hourly` is of all of them together; None where it is not known. `paid` is how many are
    paid for."""

    tier: str | None
    hourly: Range | None = None
    price: Price | None = None
    note: str = ""
    paid: int = 0


def rent_of(spec: TrainingSpec, place: TrainingPlace, ctx: Context) -> Rent:
    """What a place costs. What is owned costs what the price list says of it, and else nothing that is known here."""
    whole = place.known and spec.executor.type in _MACHINES
    if place.tier is None and place.device.host and not whole:
        return Rent(None)
    name = sheet_name(place.device)
    asked: Any = spec.executor
    used = _used(place)
    price = ctx.prices.price_at(name, place.tier or "owned", getattr(asked, "infra", None), devices=used)
    if price is None and place.tier is None:
        return Rent(None)
    if price is None:
        return Rent(place.tier, note=f"no price is known for {name} ({place.tier})")
    found = money.hourly(used, price)
    most = getattr(asked, "max_hourly_cost", None)
    if place.tier is not None and most is not None:  # dearer machines are not taken
        most *= place.hosts
        found = Range(min(found.low, most), min(found.mid, most), min(found.high, most), found.basis)
    return Rent(place.tier or "owned", found, price, paid=money.paid(used, price))


def _used(place: TrainingPlace) -> int:
    """Devices that are taken: a machine without GPUs counts as one, whatever its cores."""
    return place.hosts if place.device.host else place.device.count


def limit_of(spec: TrainingSpec, rent: Rent, ctx: Context) -> Limit | None:
    """When the budget ends a training. Of a search each trial is a job of its own, so that nobody but us ends all of it."""
    carried = carries(spec) and spec.search is None
    return limit(ctx.settings.get(BUDGET), rent.hourly, carried=carried)


def carries(spec: TrainingSpec) -> bool:
    """Whether others than this machine run its processes, and are told when to end them."""
    return spec.executor.type in _CARRYING


def taken_by(spec: TrainingSpec, folder: Path) -> float:
    """Seconds for which a training that is not done has had its devices, over all lives of its job; 0 of one that is."""
    state = job.state(folder)
    if state in (JobState.ABSENT, JobState.DONE):
        return 0.0
    return taken.seconds(folder, spec.batch_size if carries(spec) else None)


def bounded(found: Limit | None, before: float, folder: Path) -> Limit | None:
    """A limit less what was taken before. What others end themselves keeps the limit that it was started with while it is at work."""
    if found is None or (found.carried and _at_work(folder)):
        return found
    return replace(found, seconds=max(0.0, found.seconds - before))


def _at_work(folder: Path) -> bool:
    """Whether processes of the job may be there: under its program, or placed somewhere by one that was killed."""
    state = job.state(folder)
    return state is JobState.RUNNING or (state is JobState.DEAD and (folder / PLACED_FILE).exists())


def uncarried(spec: TrainingSpec, found: Limit | None) -> str:
    """A word on a limit that a cluster is not told of."""
    executor: Any = spec.executor
    if found is None or executor.type != "ray" or executor.address is None:
        return ""
    return "a Ray cluster is told no limit: the budget ends it only while mlctl follows it"


def limited(made: TrainJob, spec: TrainingSpec, folder: Path, ctx: Context) -> TrainJob:
    """The job with its limit. One that is at work, or over, keeps the limit it was started with: another price is no reason to
    start it anew."""
    if job.state(folder) is JobState.DONE or _at_work(folder):
        stored = (atomic.read_object(folder / contract.JOB_FILE) or {}).get("params", {}).get("limit")
        return made.model_copy(update={"limit": None if stored is None else JobLimit.model_validate(stored)})
    found = job_limit(spec, ctx)
    if found is None:
        return made
    left = max(1, round(found.seconds - taken_by(spec, folder)))
    return made.model_copy(update={"limit": found.model_copy(update={"seconds": left})})


def job_limit(spec: TrainingSpec, ctx: Context) -> JobLimit | None:
    """The limit as the worker program is told it, for executors that carry it."""
    budget: Mapping[str, Any] = ctx.settings.get(BUDGET) or {}
    if not carries(spec) or not any(value is not None for value in budget.values()):
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
