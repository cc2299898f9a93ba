"""What a training will take, by formulas put right by what earlier ones took; and what it did take, for the next."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from mlctl.estimate import fit, memory, money, time
from mlctl.estimate.calibration import Run, calibrated, runs_of
from mlctl.estimate.fit import Fit
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import UnknownShape
from mlctl.provider import Context, Desired
from mlctl.providers.torch.automatic import automatic
from mlctl.providers.torch.devices import Place, place_of
from mlctl.providers.torch.layout import fixed_layout
from mlctl.providers.torch.machine import missing_tools
from mlctl.providers.torch.setups import group_of, setup_of, work_of
from mlctl.providers.torch.sizes import Amount, NotYet, amount_of, features_of, shape_of, teacher_of
from mlctl.providers.torch.spec import Corpus, TrainingSpec
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate, Range
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.search import TRIALS
from mlctl.types.jobs.train import CHECKPOINTS
from mlctl.types.state import Record
from mlctl.types.units import spoken_bytes, spoken_seconds

_MEGABYTE = 1e6
_PRUNED = 0.2  # of all the steps of a search: what is not promising ends early
ENDED, PLANNED = "ranks-ended.json", "ranks.json"  # in a job's folder, by the worker program


def estimate(desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate:
    """Memory, time and money of a training. `made` are the trainings of the state, oldest first. Raises MlctlError for one
    that cannot fit its device."""
    spec: TrainingSpec = desired.spec
    place = place_of(spec)
    notes = [place.note] if place.note else []
    amount, missing = _amount(desired, made, ctx)
    try:
        shape = shape_of(spec, ctx, features_of(desired))
        teacher = teacher_of(spec, ctx)
    except UnknownShape as error:
        return Estimate(
            place.device.name,
            place.device.count,
            notes=(*notes, f"unknown: {error}" if not missing else f"known {missing}"),
        )
    layout, why = _layout(spec, ctx)
    absent = [f"{item.summary}: {item.why}; {item.fix}" for item in missing_tools(spec, layout)]
    setup = setup_of(spec, shape, layout, place, teacher, amount.rows.low if amount is not None else 0.0)
    runs = runs_of([record.outputs for record in made])
    found = _memory(desired, setup, place, runs)
    seconds = None if amount is None else _seconds(spec, setup, amount, runs)
    if seconds is not None:
        seconds = seconds * _left(ctx.folder(desired.key)) if isinstance(desired.identity, str) else seconds
    usd, priced = _money(setup, place, seconds, ctx)
    notes += [text for text in (why, missing and f"its time is known {missing}", *priced) if text]
    return Estimate(
        device=place.device.name,
        devices=_busy(setup),
        capacity=place.device.memory if place.known else None,
        memory=found,
        parts={name: value.mid * setup.together for name, value in memory.parts(setup).items()},
        seconds=seconds,
        usd=usd,
        notes=tuple(notes),
        warnings=(*_warnings(setup, found, place), *absent),
    )


def _busy(setup: Setup) -> int:
    """Devices that are at work: a CPU counts as one for each machine."""
    return setup.hosts if setup.device.host else setup.processes


def _amount(desired: Desired, made: Sequence[Record], ctx: Context) -> tuple[Amount | None, str]:
    try:
        return amount_of(desired, made, ctx), ""
    except NotYet as error:
        return None, str(error)


def _layout(spec: TrainingSpec, ctx: Context) -> tuple[Layout, str]:
    fixed = fixed_layout(spec)
    return (fixed, "") if fixed is not None else automatic(spec, ctx)


def _memory(desired: Desired, setup: Setup, place: Place, runs: Sequence[Run]) -> Range:
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
        way, left = ", ".join(f"`{item.change}`" for item in steps), spoken_bytes(steps[-1].needed.mid)
        fits = steps[-1].needed.mid <= device.memory
        lines = [
            f"together {way}: {left}" if fits else f"a smaller model or shorter rows: {way} is not enough ({left})"
        ]
    lines.append("or a device with more memory" if setup.data > 1 or device.host else "or more devices that share it")
    where = "this machine has" if device.host else f"each {device.name} has"
    return MlctlError.of(
        "training.does-not-fit",
        f"{address} needs at least {spoken_bytes(needed.low)} of memory, and {where} {spoken_bytes(device.memory)}",
        f"{shared}{fit.pieces(setup)}",
        "\n".join(lines),
        address=address,
    )


def _warnings(setup: Setup, needed: Range, place: Place) -> tuple[str, ...]:
    """A word where it may not fit, with the biggest lever."""
    if not place.known or fit.verdict(needed, place.device.memory) is Fit.FITS:
        return ()
    found = next((item for item in fit.levers(setup)), None)
    way = "" if found is None else f"; with `{found.change}` it would take {spoken_bytes(found.needed.mid)}"
    return (f"it may not fit: up to {spoken_bytes(needed.high)} of {spoken_bytes(place.device.memory)}{way}",)


def _seconds(spec: TrainingSpec, setup: Setup, amount: Amount, runs: Sequence[Run]) -> Range | None:
    """The time of all steps, or of all trials of a search; None where the speed of the device is not known."""
    if not setup.device.host and not setup.device.peak:
        return None
    one = calibrated(time.seconds(setup, work_of(spec, amount)), "seconds", group_of(spec, setup), runs)
    if spec.search is None:
        return one
    trials = spec.search.trials or spec.search.combinations
    return Range(one.low * trials * _PRUNED, one.mid * trials, one.high * trials, one.basis)


def _money(setup: Setup, place: Place, seconds: Range | None, ctx: Context) -> tuple[Range | None, list[str]]:
    """Dollars for rented devices, and what is to be said of the prices. What is owned costs nothing that is known here."""
    if place.tier is None:
        return None, []
    rate = ctx.prices.price(setup.device.name, place.tier)
    if rate is None:
        return None, [f"no price is known for {setup.device.name} ({place.tier})"]
    age = rate.age(date.today())
    old = [f"the prices are {age} days old"] if age > money.OLD_DAYS else []
    if seconds is None:
        return None, old
    return money.cost(seconds + time.start(setup), setup.device.count, rate), old


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


def with_actual(outputs: Mapping[str, Any], desired: Desired, ctx: Context) -> dict[str, Any]:
    """The outputs with what the training took beside what the formulas foretell for exactly what it did.

    Nothing is added where that cannot be compared: a search, fewer ranks than were planned, a model of unknown shape.
    """
    spec: TrainingSpec = desired.spec
    stored = _stored(ctx.folder(desired.key))
    if stored is None or spec.search is not None:
        return dict(outputs)
    try:
        return {**outputs, "estimate": _compared(outputs, desired, *stored, ctx)}
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # what a program wrote that is not this version's
        return dict(outputs)


def _compared(
    outputs: Mapping[str, Any], desired: Desired, ended: Mapping[str, Any], data: Mapping[str, Any], ctx: Context
) -> dict[str, Any]:
    spec: TrainingSpec = desired.spec
    actual = _actual(outputs, ended, data, spec)
    try:
        place = place_of(spec)
        layout, _ = _layout(spec, ctx)
        features = len(data["columns"]) if "columns" in data else None
        shape, teacher = shape_of(spec, ctx, features), teacher_of(spec, ctx)
    except (UnknownShape, MlctlError):
        return {"actual": actual}
    setup = setup_of(spec, shape, layout, place, teacher, float(data.get("train", 0)))
    if len(ended["ranks"]) != setup.processes or not place.known:
        return {"actual": actual}
    predicted = _predicted(spec, setup, ended, data)
    ratio = {name: actual[name] / value for name, value in predicted.items() if value and actual.get(name)}
    rate = actual.get("tokens_per_second", actual.get("rows_per_second", 0.0))
    if not time.plausible(setup, rate):
        ratio.pop("seconds", None)  # a clock that was set, or a run that did less than it says
    return {
        "group": group_of(spec, setup).to_json(),
        "predicted": {name: float(f"{value:.4g}") for name, value in predicted.items()},
        "actual": actual,
        "ratio": {name: float(f"{value:.4g}") for name, value in ratio.items()},
    }


def _stored(folder: Path) -> tuple[dict[str, Any], dict[str, Any]] | None:
    """How the ranks ended, and the data they were given; None where there were none, as for a model that was taken over."""
    try:
        ended, plan = (json.loads((folder / name).read_bytes()) for name in (ENDED, PLANNED))
        return (ended, plan["data"]) if ended["ranks"] and ended["history"] else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _learnt(ended: Mapping[str, Any], data: Mapping[str, Any], spec: TrainingSpec) -> float:
    """Rows of all the steps that were done."""
    return min(float(ended["step"]) * spec.batch_size, float(data.get("train", 0)) * spec.epochs)


def _actual(
    outputs: Mapping[str, Any], ended: Mapping[str, Any], data: Mapping[str, Any], spec: TrainingSpec
) -> dict[str, float]:
    """Peak memory of a device, seconds in steps, and how much was done in them. Of a CPU all ranks count together."""
    ranks, seconds = ended["ranks"], float(outputs["seconds"])
    on_gpu = max(float(rank["gpu_megabytes"]) for rank in ranks)
    peak = on_gpu or sum(float(rank["peak_rss_megabytes"]) for rank in ranks)
    rows = _learnt(ended, data, spec)
    found = {"memory": round(peak * _MEGABYTE), "seconds": seconds}
    if seconds > 0:
        found["rows_per_second"] = round(rows / seconds, 3)
    tokens = data.get("train_tokens")
    if isinstance(tokens, int | float) and isinstance(spec.data, Corpus):
        found |= {"tokens": tokens, "max_length": spec.data.max_length, "share": 1 - spec.data.split.test}
        if seconds > 0 and data.get("train"):
            found["tokens_per_second"] = round(rows * tokens / float(data["train"]) / seconds, 3)
    return found


def _predicted(spec: TrainingSpec, setup: Setup, ended: Mapping[str, Any], data: Mapping[str, Any]) -> dict[str, float]:
    """What the formulas alone say of the very steps that were done."""
    learnt, rows = _learnt(ended, data, spec), float(data.get("train") or 1)
    if "train_tokens" in data:
        learnt *= float(data["train_tokens"]) / rows
    packed = spec.data.packing if isinstance(spec.data, Corpus) else True
    validated = float(data.get("validation", 0)) / rows
    work = time.Work(Range.exactly(learnt), float(ended["step"]), packed=packed, validated=validated)
    found = {"memory": memory.peak(setup).mid}
    if setup.device.host or setup.device.peak:
        found["seconds"] = time.seconds(setup, work).mid
    return found


def told(prior: Record) -> str:
    """What a training took, beside what the plan foretold."""
    stored, planned = prior.outputs.get("estimate"), prior.provenance.get("estimate")
    actual = stored.get("actual") if isinstance(stored, Mapping) else None
    if not isinstance(actual, Mapping):
        return ""
    took = _words(actual.get("seconds"), actual.get("memory"))
    if not isinstance(planned, Mapping):
        return f"took {took}"
    foretold = [
        item.get("mid") if isinstance(item, Mapping) else None
        for item in (planned.get("seconds"), planned.get("memory"))
    ]
    words = _words(*foretold)
    return f"took {took} (planned {words})" if words else f"took {took}"


def _words(seconds: object, size: object) -> str:
    parts = []
    if isinstance(seconds, int | float):
        parts.append(spoken_seconds(float(seconds)))
    if isinstance(size, int | float):
        parts.append(spoken_bytes(float(size)))
    return ", ".join(parts)
