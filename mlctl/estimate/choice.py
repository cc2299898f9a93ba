"""`strategy: auto`: the first strategy that fits, from the one that costs least to the one that cuts most, and why."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from mlctl.estimate import memory
from mlctl.estimate.fit import Fit, verdict
from mlctl.estimate.setup import ADAPTERS, Setup
from mlctl.estimate.shapes import LanguageShape
from mlctl.types.estimate import Range
from mlctl.types.spoken import spoken_bytes


@dataclass(frozen=True, slots=True)
class Choice:
    """A strategy for so many devices. `fit` is NEVER where not even the last would fit."""

    setup: Setup
    needed: Range
    fit: Fit
    why: str


def choose(
    setup: Setup, processes: int, *, engine: str | None = None, able: Callable[[Setup], bool] = lambda _: True
) -> Choice:
    """Spread a training over so many processes. `setup` says all but how; `engine` binds to what one can do, and `able` to what
    else is asked for. Raises ValueError when nothing is left.

    What surely fits is taken before what only may fit, and of those the one that exchanges least: `single`, `ddp`, then what
    shards the optimizer, the gradients, the weights, then what cuts layers.
    """
    tried = [(name, other, memory.peak(other)) for name, other in _candidates(setup, processes, engine) if able(other)]
    if not tried:
        raise ValueError("no strategy goes with the rest of the training")
    fits = [verdict(needed, other.device.memory) for _, other, needed in tried]
    place = _first(tried, fits)
    name, chosen, needed = tried[place]
    capacity = f"{spoken_bytes(chosen.device.memory)} of {_device(chosen)}"
    if fits[place] is Fit.NEVER:
        return Choice(
            chosen, needed, Fit.NEVER, f"{name} needs least, and still {spoken_bytes(needed.low)} of the {capacity}"
        )
    before = [f"{other} would take {spoken_bytes(need.mid)}" for other, _, need in tried[:place]]
    most = "" if fits[place] is Fit.FITS else f", perhaps {spoken_bytes(needed.high)},"
    why = f"{name}: takes {spoken_bytes(needed.mid)}{most} of the {capacity}"
    return Choice(chosen, needed, fits[place], "; ".join([why, *before]))


def _first(tried: list[tuple[str, Setup, Range]], fits: list[Fit]) -> int:
    """The first that surely fits; else, of those that may, the one with most room to spare, or that lacks least."""
    for number, fit in enumerate(fits):
        if fit is Fit.FITS:
            return number
    likely = [number for number, fit in enumerate(fits) if fit is Fit.MAY]
    if likely:
        return min(likely, key=lambda number: tried[number][2].high)
    return min(range(len(tried)), key=lambda number: tried[number][2].low)


def _device(setup: Setup) -> str:
    return "this machine" if setup.device.host else f"each {setup.device.name}"


def _candidates(setup: Setup, processes: int, engine: str | None) -> Iterator[tuple[str, Setup]]:
    """What can be done with the processes, the cheapest first."""
    plain = replace(setup, strategy="single", data=1, tensor=1, pipeline=1, microbatches=1)
    if processes == 1:
        yield "single", plain
        return
    spread = replace(plain, data=processes)
    yield "ddp", replace(spread, strategy="ddp")
    if setup.method in ("galore", "qlora"):  # projections and packed weights cannot be cut
        return
    language = isinstance(setup.shape, LanguageShape)
    if language and engine != "torch":
        names = ("zero3",) if setup.method in ADAPTERS else ("zero2", "zero3")
        for name in names:
            yield name, replace(spread, strategy=name, engine="hf")
    if engine == "hf" or setup.method in ADAPTERS:
        return
    yield "fsdp", replace(spread, strategy="fsdp", engine="torch")
    if isinstance(setup.shape, LanguageShape):
        yield from _cut(replace(plain, engine="torch"), setup.shape, processes)


def _cut(setup: Setup, shape: LanguageShape, processes: int) -> Iterator[tuple[str, Setup]]:
    """Layers cut by tensor parallelism, in groups of two to eight, with what is left of the processes sharding the rest."""
    for tensor in (2, 4, 8):
        if processes % tensor or shape.heads % tensor or shape.kv_heads % tensor:
            continue
        data = processes // tensor
        name = "tensor" if data == 1 else "3d"
        yield name, replace(setup, strategy=name, data=data, tensor=tensor)
