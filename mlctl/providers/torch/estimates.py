"""What a training will take, by formulas put right by what earlier ones took."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TypedDict

from mlctl.estimate import fit, memory, money, spot, time, transfer
from mlctl.estimate.calibration import Run, calibrated, runs_of
from mlctl.estimate.fit import Fit
from mlctl.estimate.limits import BUDGET
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import UnknownShape
from mlctl.launch.base_models import is_pending
from mlctl.provider import Context, Desired
from mlctl.providers.torch.automatic import automatic
from mlctl.providers.torch.costs import Rent, bounded, limit_of, rent_of, taken_by, uncarried
from mlctl.providers.torch.devices import TrainingPlace, place_of
from mlctl.providers.torch.disk import disk_words
from mlctl.providers.torch.finishing import finish_words
from mlctl.providers.torch.layout import fixed_layout
from mlctl.providers.torch.machine import missing_tools
from mlctl.providers.torch.setups import group_of, setup_of, work_of
from mlctl.providers.torch.sizes import Amount, NotYet, amount_of, features_of, shape_of, teacher_of
from mlctl.providers.torch.spec import CausalLm, TrainingSpec
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate, Limit, Range
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.search import TRIALS
from mlctl.types.jobs.train import CHECKPOINTS
from mlctl.types.spoken import spoken_bytes, spoken_seconds
from mlctl.types.state import Record

_ASKED_FOR = ("skypilot", "kubernetes")  # executors that are given as many GPUs as they ask for
_PRUNED = 0.2  # of all the steps of a search: what is not promising ends early


class Paid(TypedDict):
    """What an estimate says of money whatever else is known."""

    tier: str | None
    hourly: Range | None
    limit: Limit | None
    taken: float


def estimate(desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate:
    """Memory, time and money of a training. `made` are the trainings of the state, oldest first. Raises MlctlError for one
    that cannot fit its device."""
    spec: TrainingSpec = desired.spec
    place = place_of(spec)
    rent = rent_of(spec, place, ctx)
    folder = ctx.folder(desired.key) if isinstance(desired.identity, str) else None
    paid, notes = _paid(spec, place, rent, folder, ctx)
    amount, missing = _amount(desired, made, ctx)
    try:
        shape = shape_of(spec, ctx, features_of(desired))
        teacher = teacher_of(spec, ctx)
    except UnknownShape as error:
        if isinstance(spec.model, CausalLm) and not is_pending(spec.model.base):
            planned_layout(spec, ctx)  # refuses what could not be decided later either
        more = money.beyond(rent.paid, place.hosts if place.device.host else place.device.count, place.device.name)
        known = f"known {missing}" if missing and not isinstance(spec.model, CausalLm) else f"unknown: {error}"
        words = (*notes, *filter(None, [more]), known)
        return Estimate(place.device.name, place.device.count, notes=words, **paid)
    layout, why = planned_layout(spec, ctx)
    absent = [f"{item.summary}: {item.why}; {item.fix}" for item in missing_tools(spec, layout)]
    setup = setup_of(spec, shape, layout, place, teacher, amount.rows.low if amount is not None else 0.0)
    runs = runs_of([record.outputs for record in made])
    found = _memory(desired, setup, place, runs)
    left = 1.0 if folder is None else _left(folder)
    seconds = None if amount is None else seconds_of(spec, setup, amount, runs, left)
    usd, waste = _usd(seconds, setup, rent, place)
    # where more are asked for than used, a warning of its own says so
    told = place.device.count if spec.executor.type in _ASKED_FOR else 0
    more = money.beyond(rent.paid, max(told, _busy(setup)), place.device.name)
    room, lacking = disk_words(spec, setup, ctx)
    ending, short = finish_words(spec, setup, place, ctx)
    slow = "" if seconds is None or amount is None else time.reason(setup, work_of(spec, amount))
    lacks = missing and f"its time is known {missing}"
    notes += filter(None, [why, "" if amount is None else amount.note, slow, more, *room, *ending, waste, lacks])
    return Estimate(
        device=place.device.name,
        devices=_busy(setup),
        capacity=place.device.memory if place.known else None,
        memory=found,
        parts={name: value.mid * setup.together for name, value in memory.parts(setup).items()},
        seconds=seconds,
        usd=usd,
        notes=tuple(notes),
        **paid,
        warnings=(
            *_warnings(setup, found, place),
            *_miscounted(spec, setup, place),
            *_emulated(setup),
            *lacking,
            *short,
            *absent,
        ),
    )


def _paid(
    spec: TrainingSpec, place: TrainingPlace, rent: Rent, folder: Path | None, ctx: Context
) -> tuple[Paid, list[str]]:
    """What is known of money before anything is known of the model, and the words on that."""
    taken = 0.0 if folder is None else taken_by(spec, folder)
    allowed = limit_of(spec, rent, ctx)
    allowed = bounded(allowed, taken, folder) if folder is not None else allowed
    notes = [text for text in (place.note, rent.note, uncarried(spec, allowed)) if text]
    if taken and ctx.settings.get(BUDGET):
        notes.append(f"it has had its devices for {spoken_seconds(taken)} already, which the budget counts")
    return Paid(tier=rent.tier, hourly=rent.hourly, limit=allowed, taken=taken), notes


def _usd(seconds: Range | None, setup: Setup, rent: Rent, place: TrainingPlace) -> tuple[Range | None, str]:
    """Dollars from the start to the end, and a word on what spot devices lose of them."""
    if seconds is None or rent.hourly is None:
        return None, ""
    if rent.tier != "spot":
        return money.cost(seconds, rent.hourly), ""
    saves = checkpoint_seconds(setup)
    found = spot.expected(seconds, rent.hourly, checkpoint_seconds=saves, nodes=place.device.machines)
    lost = f"of spot devices {found.useful.mid:.0%} of the paid time is useful, which the cost counts"
    return found.cost, f"{lost}; with the waiting for them it is likely done after {spoken_seconds(found.elapsed.mid)}"


def checkpoint_seconds(setup: Setup) -> float:
    """The time of one checkpoint, however the training is spread."""
    return transfer.checkpoint_seconds(replace(setup, strategy="single")).mid


def _busy(setup: Setup) -> int:
    """Devices that are at work: a CPU counts as one for each machine."""
    return setup.hosts if setup.device.host else setup.processes


def _amount(desired: Desired, made: Sequence[Record], ctx: Context) -> tuple[Amount | None, str]:
    try:
        return amount_of(desired, made, ctx), ""
    except NotYet as error:
        return None, str(error)


def planned_layout(spec: TrainingSpec, ctx: Context) -> tuple[Layout, str]:
    """How a training is spread, and why where that was left to be chosen."""
    fixed = fixed_layout(spec)
    return (fixed, "") if fixed is not None else automatic(spec, ctx)


def _memory(desired: Desired, setup: Setup, place: TrainingPlace, runs: Sequence[Run]) -> Range:
    """The peak. What the formula alone calls impossible is refused, whatever past runs say."""
    formula = memory.peak(setup)
    if place.known and fit.verdict(formula, place.device.memory) is Fit.NEVER:
        raise does_not_fit(str(desired.address), setup, formula)
    return calibrated(formula, "memory", group_of(desired.spec, setup), runs)


def does_not_fit(address: str, setup: Setup, needed: Range) -> MlctlError:
    """The refusal, with what the memory is made of and what would help, biggest first."""
    device = setup.device
    shared = f"{setup.together} processes, each with " if setup.together > 1 else ""
    found = fit.levers(setup)
    enough = [item for item in found if item.needed.mid <= device.memory]
    steps = fit.together(setup) if not enough else []
    lines = [f"`{item.change}`: {spoken_bytes(item.needed.mid)}" for item in (enough or found)[:5]]
    if steps:
        way, after = ", ".join(f"`{item.change}`" for item in steps), steps[-1].needed
        fits = after.mid <= device.memory
        short = f"a smaller model or shorter rows: {way} is not enough (at least {spoken_bytes(after.low)})"
        lines = [f"together {way}: {spoken_bytes(after.mid)}" if fits else short]
    more = fit.wider(setup)
    if more is not None:
        held = spoken_bytes(more.needed.mid)
        lines.append(
            f"`{more.change}` on {more.setup.device.count} devices, {more.setup.device.machines} machines: {held}"
        )
    last = "a device with more memory" if setup.data > 1 or device.host else "more devices that share it"
    lines.append(f"or {last}" if lines else last)
    where = "this machine has" if device.host else f"each {device.name} has"
    return MlctlError.of(
        "training.does-not-fit",
        f"{address} needs at least {spoken_bytes(needed.low)} of memory, and {where} {spoken_bytes(device.memory)}",
        f"{shared}{fit.pieces(setup)}",
        "\n".join(lines),
        address=address,
    )


def _warnings(setup: Setup, needed: Range, place: TrainingPlace) -> tuple[str, ...]:
    """A word where it may not fit, with the biggest lever."""
    if not place.known or fit.verdict(needed, place.device.memory) is Fit.FITS:
        return ()
    found = next((item for item in fit.levers(setup)), None)
    way = "" if found is None else f"; with `{found.change}` it would take {spoken_bytes(found.needed.mid)}"
    there = spoken_bytes(place.device.memory)
    if needed.mid > place.device.memory:
        return (f"it is not likely to fit: about {spoken_bytes(needed.mid)} of {there}{way}",)
    return (f"it may not fit: up to {spoken_bytes(needed.high)} of {there}{way}",)


def _miscounted(spec: TrainingSpec, setup: Setup, place: TrainingPlace) -> tuple[str, ...]:
    """A word where there are fewer GPUs than processes, or where some are paid for that no process works on."""
    wanted, there = setup.processes, place.device.count
    if place.device.host or wanted == there:
        return ()
    if spec.executor.type in _ASKED_FOR:  # which refuse too few of them
        return (f"{there} GPUs are asked for, and the strategy uses {wanted}",) if wanted < there else ()
    return (f"{wanted} processes want as many GPUs, and there are {there}",) if place.known and wanted > there else ()


def _emulated(setup: Setup) -> tuple[str, ...]:
    """A word where a GPU has no bf16 of its own."""
    device = setup.device
    if device.host or setup.precision != "bf16" or device.fast_half:
        return ()
    return (f"bf16 is only emulated by {device.name}, as slow as fp32; `precision: fp16` is not",)


def seconds_of(
    spec: TrainingSpec, setup: Setup, amount: Amount, runs: Sequence[Run], left: float = 1.0
) -> Range | None:
    """The time from the start of the processes to the end, of a search that of all trials; None where the speed of the device is not
    known. `left` is the share of the steps that is still to be done.

    Steps and start are put right by past runs each by itself: a start takes as long whatever there is to do.
    """
    if not setup.device.host and not setup.device.peak:
        return None
    group = group_of(spec, setup)
    steps = calibrated(time.seconds(setup, work_of(spec, amount)), "seconds", group, runs) * left
    begun = calibrated(time.start(setup), "start", group, runs)
    trials, pruned = 1, 1.0
    if spec.search is not None:  # each trial starts processes of its own
        trials, pruned = spec.search.trials or spec.search.combinations, _PRUNED
    low, mid, high = steps.low * pruned + begun.low, steps.mid + begun.mid, steps.high + begun.high
    return Range(low * trials, mid * trials, high * trials, steps.basis)


def _left(folder: Path) -> float:
    """The share of the steps that is still to be done; of a search, nobody knows."""
    if (folder / TRIALS).exists():
        return 1.0
    for path in sorted((folder / CHECKPOINTS).glob("step-*.json"), reverse=True):
        try:
            stored = json.loads(path.read_bytes())
            return max(0.0, 1 - float(stored["step"]) / float(stored["total"]))
        except (OSError, ValueError, KeyError, TypeError, ZeroDivisionError):
            continue
    return 1.0
