"""What a training did take, in the form by which the next one is foretold; and for people."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mlctl.estimate import memory, time
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import UnknownShape
from mlctl.provider import Context, Desired
from mlctl.providers.torch import taken
from mlctl.providers.torch.costs import carries, rent_of
from mlctl.providers.torch.devices import TrainingPlace, place_of
from mlctl.providers.torch.estimates import planned_layout
from mlctl.providers.torch.setups import group_of, setup_of
from mlctl.providers.torch.sizes import shape_of, teacher_of
from mlctl.providers.torch.spec import Corpus, TrainingSpec
from mlctl.types.diagnostic import MlctlError
from mlctl.types.estimate import Estimate, Range
from mlctl.types.spoken import spoken_bytes, spoken_dollars, spoken_seconds
from mlctl.types.state import Record

_MEGABYTE = 1e6
ENDED, PLANNED = "ranks-ended.json", "ranks.json"  # in a job's folder, by the worker program


def with_actual(outputs: Mapping[str, Any], desired: Desired, ctx: Context) -> dict[str, Any]:
    """The outputs with what the training took beside what the formulas foretell for exactly what it did.

    Nothing is added where that cannot be compared: a search, fewer ranks than were planned, a model of unknown shape.
    """
    spec: TrainingSpec = desired.spec
    folder = ctx.folder(desired.key)
    stored = _stored(folder)
    if stored is None or spec.search is not None:
        return dict(outputs)
    try:
        found = _compared(outputs, desired, *stored, ctx)
        return {
            **outputs,
            "estimate": {
                **found,
                "actual": {**found["actual"], **_paid(spec, stored[0], found["actual"], folder, ctx)},
            },
        }
    except (KeyError, TypeError, ValueError, ZeroDivisionError):  # what a program wrote that is not this version's
        return dict(outputs)


def _compared(
    outputs: Mapping[str, Any], desired: Desired, ended: Mapping[str, Any], data: Mapping[str, Any], ctx: Context
) -> dict[str, Any]:
    spec: TrainingSpec = desired.spec
    actual = {**_actual(outputs, ended, data, spec), "start": _start(outputs, ended)}
    try:
        place = place_of(spec)
        layout, _ = planned_layout(spec, ctx)
        features = len(data["columns"]) if "columns" in data else None
        shape, teacher = shape_of(spec, ctx, features), teacher_of(spec, ctx)
    except (UnknownShape, MlctlError):
        return {"actual": actual}
    setup = setup_of(spec, shape, layout, place, teacher, float(data.get("train", 0)))
    if len(ended["ranks"]) != setup.processes or not place.known or _elsewhere(place, ended):
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


def _paid(
    spec: TrainingSpec, ended: Mapping[str, Any], actual: Mapping[str, float], folder: Path, ctx: Context
) -> dict[str, Any]:
    """For how long devices were held, start and all, and the dollars of that at today's price; nothing of what has no price."""
    try:
        place = place_of(spec)
        rent = rent_of(spec, place, ctx)
    except MlctlError:
        return {}
    held = _held(ended, actual["seconds"], taken.before(folder, spec.batch_size if carries(spec) else None))
    if rent.hourly is None or rent.price is None or _elsewhere(place, ended):
        return {"held_seconds": held}
    usd = rent.hourly.mid * held / 3600
    return {
        "held_seconds": held,
        "usd": float(f"{usd:.6g}"),
        "price_of": rent.price.as_of.isoformat(),
        "tier": rent.tier,
    }


def _elsewhere(place: TrainingPlace, ended: Mapping[str, Any]) -> bool:
    """Whether the ranks were not on what was planned for: another machine's devices (`MLCTL_DEVICE`), or GPUs that were left alone."""
    return place.device.host == any(float(rank["gpu_megabytes"]) for rank in ended["ranks"])


def _held(ended: Mapping[str, Any], seconds: float, before: float = 0.0) -> float:
    """By the machines' own count of all their lives, where they keep one. Else by that of the rank, which knows no life before
    its own: of those count what was noted of them (`before`), and no less than the steps that it went on from."""
    lived, started, machines = (
        float(ended.get(name) or 0.0) for name in ("lived_seconds", "started_seconds", "machine_seconds")
    )
    return round(max(before + lived, before + machines, seconds + started), 1)


def _start(outputs: Mapping[str, Any], ended: Mapping[str, Any]) -> float:
    """Seconds of the last life beside its steps: imports, processes, loading, saving. Where it went on from earlier lives, whose
    steps are not its own, those until its first step."""
    lived, started = (float(ended.get(name) or 0.0) for name in ("lived_seconds", "started_seconds"))
    return round(max(lived - float(outputs["seconds"]), started), 1)


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
    found = {"memory": memory.peak(setup).mid, "start": time.start(setup).mid}
    if setup.device.host or setup.device.peak:
        found["seconds"] = time.seconds(setup, work).mid
    return found


def told(prior: Record) -> str:
    """What a training took, beside what the plan foretold."""
    stored, planned = prior.outputs.get("estimate"), prior.provenance.get("estimate")
    actual = stored.get("actual") if isinstance(stored, Mapping) else None
    if not isinstance(actual, Mapping):
        return ""
    whole = "start" in actual  # else an older mlctl made it, whose plan told of the steps alone
    seconds = actual.get("held_seconds", actual.get("seconds")) if whole else actual.get("seconds")
    took = _words(seconds, actual.get("memory"), actual.get("usd"))
    if not isinstance(planned, Mapping):
        return f"took {took}"
    try:
        foretold = Estimate.from_json(planned).whole
    except (KeyError, TypeError, ValueError):
        return f"took {took}"
    words = _words(*(None if item is None else item.mid for item in (foretold.seconds, foretold.memory, foretold.usd)))
    return f"took {took} (planned {words})" if words else f"took {took}"


def _words(seconds: object, size: object, usd: object) -> str:
    ways = ((seconds, spoken_seconds), (size, spoken_bytes), (usd, spoken_dollars))
    return ", ".join(say(float(value)) for value, say in ways if isinstance(value, int | float))
