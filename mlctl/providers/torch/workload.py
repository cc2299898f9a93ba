"""A training on other devices than the project says: whether it fits there, by which strategy, and how long it takes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from mlctl.estimate import memory, time, transfer
from mlctl.estimate.calibration import Run, calibrated, runs_of
from mlctl.estimate.choice import choose
from mlctl.estimate.devices import Device
from mlctl.estimate.fit import Fit, verdict
from mlctl.estimate.prices import Tier
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import LanguageShape, Shape, UnknownShape
from mlctl.estimate.workload import Outlook
from mlctl.provider import Context, Desired
from mlctl.providers.torch.automatic import able
from mlctl.providers.torch.devices import TrainingPlace, place_of
from mlctl.providers.torch.estimates import checkpoint_seconds, seconds_of
from mlctl.providers.torch.layout import engine_of, fixed_layout
from mlctl.providers.torch.rules_engine import goes_with
from mlctl.providers.torch.setups import group_of, setup_of, work_of
from mlctl.providers.torch.sizes import Amount, NotYet, amount_of, features_of, shape_of, teacher_of
from mlctl.providers.torch.spec import CausalLm, Qlora, TrainingSpec
from mlctl.providers.torch.strategies import Auto, DataParallel
from mlctl.types.estimate import Range
from mlctl.types.jobs.recipe import Layout
from mlctl.types.state import Record

_MAKER = "nvidia"  # whose software everything here is known to run on
_INT8 = 7.5  # CUDA's name for devices that multiply packed weights
_SINGLE = Layout(strategy="single")


def workload(desired: Desired, made: Sequence[Record], ctx: Context) -> TrainingWorkload | None:
    """What a training is as far as devices matter; None while the shape of its model is not known. Raises MlctlError."""
    spec: TrainingSpec = desired.spec
    place = place_of(spec)
    try:
        shape = shape_of(spec, ctx, features_of(desired))
        teacher = teacher_of(spec, ctx)
    except UnknownShape:
        return None
    try:
        amount, missing = amount_of(desired, made, ctx), ""
    except NotYet as error:
        amount, missing = None, str(error)
    runs = tuple(runs_of([record.outputs for record in made]))
    return TrainingWorkload(str(desired.address), spec, ctx, place, shape, teacher, amount, missing, runs)


@dataclass(frozen=True)
class TrainingWorkload:
    """One training with all that its estimate is made of but the devices."""

    address: str
    spec: TrainingSpec
    ctx: Context
    place: TrainingPlace
    shape: Shape
    teacher: LanguageShape | None
    amount: Amount | None
    missing: str  # when the amount is known, while it is not
    runs: tuple[Run, ...]
    lasting: bool = False

    @property
    def device(self) -> Device:
        """Where the project puts it."""
        return self.place.device

    @property
    def tier(self) -> Tier | None:
        """At which price."""
        return self.place.tier

    @property
    def checkpoint_seconds(self) -> float:
        """From what a checkpoint weighs: what is learnt, and the optimizer's state of it."""
        return checkpoint_seconds(self._setup(_SINGLE, self.device))

    @property
    def disk(self) -> Range:
        """The most that it has on disk at once, by the project's own way of saving; of a search, that of one trial."""
        saved, best = self.spec.checkpoint, self.spec.early_stopping is not None
        return transfer.disk_bytes(self._setup(_SINGLE, self.device), saved.keep, best=best)

    def on(self, device: Device) -> Outlook:
        """By the project's own strategy where it fits; else by the one that `strategy: auto` would choose there."""
        lacking = self._lacking(device)
        if not device.memory:
            return Outlook(device, Fit.MAY, unsupported=lacking, why="how much memory the device has is not known")
        try:
            setup, change, why = self._spread(device)
        except ValueError as error:
            return Outlook(device, Fit.NEVER, unsupported=lacking or str(error))
        needed, fit = self._needs(setup)
        seconds = None if self.amount is None else seconds_of(self.spec, setup, self.amount, self.runs)
        return Outlook(
            device=device,
            fit=fit,
            memory=needed,
            seconds=seconds,
            unsupported=lacking,
            changes=(*((change,) if change else ()), *self._smaller(setup)),
            why="; ".join(text for text in (why, self.missing and f"its time is known {self.missing}") if text),
            slow="" if seconds is None or self.amount is None else time.reason(setup, work_of(self.spec, self.amount)),
        )

    def _lacking(self, device: Device) -> str:
        """What the training asks of a device and this one has not."""
        precision, method = self.spec.precision, self.spec.method
        if device.host:
            return "fp16 is not computed by processors" if precision == "fp16" else ""
        if precision == "bf16" and not device.fast_half:
            return "bf16 is only emulated there"
        if device.maker not in ("", _MAKER, self.device.maker):
            return f"its software is another one (ROCm), and nothing says that the training runs on it; put it on a {device.name} to say so"
        if isinstance(method, Qlora) and method.quantization == "int8" and (device.capability or _INT8) < _INT8:
            return f"weights in 8 bits take a GPU of capability {_INT8}"
        if device.count > self.spec.batch_size and device != self.device:
            return f"a batch of {self.spec.batch_size} rows cannot be shared by {device.count} devices"
        return ""

    def _spread(self, device: Device) -> tuple[Setup, str, str]:
        """The training over all of the devices, what has to be written for that, and why. Raises ValueError where nothing goes."""
        own = self._own(device)
        if own is not None:
            layout, change = own
            setup = self._setup(layout, device)
            if self._needs(setup)[1] is Fit.FITS or device.host:
                return setup, change, ""
        processes = self._processes(device)
        start = self._setup(_SINGLE, device)
        engine = engine_of(self.spec) if isinstance(self.spec.model, CausalLm) else None
        try:
            chosen = choose(start, processes, engine=engine, able=lambda other: able(self.spec, other, self.ctx))
        except ValueError:
            if own is None:
                raise
            return setup, change, ""
        if own is not None and self._needs(chosen.setup)[1] is self._needs(setup)[1]:
            return setup, change, ""
        written = "" if self.spec.strategy.type == "auto" else _written(chosen.setup)
        return chosen.setup, written, chosen.why

    def _smaller(self, setup: Setup) -> tuple[str, ...]:
        """What has to be written where a process has fewer rows of a batch than it is told to go through at once."""
        own, micro = self.spec.batch_size // setup.data, self.spec.micro_batch_size
        return () if micro is None or micro <= max(1, own) else (f"micro_batch_size: {max(1, own)}",)

    def _processes(self, device: Device) -> int:
        """How many `strategy: auto` would share the rows between; a machine without accelerators counts as one."""
        asked = self.spec.strategy
        if isinstance(asked, Auto) and asked.processes is not None and device == self.device:
            return asked.processes
        machines = self.place.hosts if device == self.device else 1
        return min(machines if device.host else device.count, self.spec.batch_size)

    def _own(self, device: Device) -> tuple[Layout, str] | None:
        """The project's own way over so many devices, and what has to be written for it; None where it has none."""
        fixed = fixed_layout(self.spec)
        if fixed is None:
            return None
        if device.host or device == self.device or fixed.processes == device.count:
            return fixed, ""
        if device.count == 1 and goes_with(self.spec, "single"):
            return _SINGLE, "strategy: single"
        if isinstance(self.spec.strategy, DataParallel):
            name = self.spec.strategy.type
            return Layout(strategy=name, data=device.count), f"strategy: {{type: {name}, processes: {device.count}}}"
        together = fixed.tensor * fixed.pipeline
        if together == 1 or device.count % together:
            return None
        layout = fixed.model_copy(update={"strategy": "3d", "data": device.count // together})
        if not able(self.spec, self._setup(layout, device), self.ctx):
            return None
        return layout, _written(self._setup(layout, device))

    def _setup(self, layout: Layout, device: Device) -> Setup:
        here = device.host and device == self.place.device
        hosts = self.place.hosts if here else device.machines
        place = replace(self.place, device=device, hosts=hosts)
        rows = 0.0 if self.amount is None else self.amount.rows.low
        return setup_of(self.spec, self.shape, layout, place, self.teacher, rows)

    def _needs(self, setup: Setup) -> tuple[Range, Fit]:
        """The memory, and whether the device has it. What the formula alone calls impossible is, whatever past runs say."""
        formula = memory.peak(setup)
        needed = calibrated(formula, "memory", group_of(self.spec, setup), self.runs)
        if verdict(formula, setup.device.memory) is Fit.NEVER:
            return needed, Fit.NEVER
        return needed, verdict(needed, setup.device.memory)


def _written(setup: Setup) -> str:
    """A strategy as it stands in a project."""
    name = setup.strategy
    if name == "single":
        return "strategy: single"
    if name == "pipeline":
        return f"strategy: {{type: pipeline, stages: {setup.pipeline}, microbatches: {setup.microbatches}}}"
    if name == "3d":
        parts = f"data: {setup.data}, tensor: {setup.tensor}, pipeline: {setup.pipeline}"
        parts += f", microbatches: {setup.microbatches}" if setup.pipeline > 1 else ""
        return f"strategy: {{type: 3d, {parts}}}"
    return f"strategy: {{type: {name}, processes: {setup.processes}}}"
