"""`strategy: auto`: how a training is spread over the devices that there are."""

from __future__ import annotations

from mlctl.estimate.choice import Choice, choose
from mlctl.estimate.fit import Fit, together
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import DenseShape, LanguageShape, Shape, UnknownShape
from mlctl.launch.base_models import model_config
from mlctl.provider import Context
from mlctl.providers.torch.devices import TrainingPlace, place_of
from mlctl.providers.torch.layout import engine_of
from mlctl.providers.torch.rules_engine import goes_with
from mlctl.providers.torch.setups import setup_of
from mlctl.providers.torch.sizes import shape_of, teacher_of
from mlctl.providers.torch.spec import CausalLm, Mlp, TrainingSpec
from mlctl.providers.torch.strategies import Auto
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.transformer import parallel_problems
from mlctl.types.spoken import spoken_bytes

_FEATURES = 1  # of a table whose columns are not known yet: hidden layers are what a perceptron consists of
_LLAMA_LIKE = ("llama", "mistral", "qwen2", "qwen3")  # families that our own engine takes apart
_SINGLE = Layout(strategy="single")


def automatic(spec: TrainingSpec, ctx: Context) -> tuple[Layout, str]:
    """The layout, and why. Raises MlctlError when the model's size or the devices cannot be told, or when nothing fits."""
    place = place_of(spec)
    processes, bound = _processes(spec, place)
    if processes == 1:
        return _SINGLE, "single: there is one device" if bound is None else bound
    try:
        shape = _shape(spec, ctx)
    except UnknownShape as error:
        if not isinstance(spec.model, CausalLm):  # such models are small
            return Layout(strategy="ddp", data=processes), f"ddp: {error}, and {processes} processes share the rows"
        raise _undecided(str(error)) from None
    if not place.known:
        raise _undecided(place.note)
    setup = setup_of(spec, shape, _SINGLE, place, _teacher(spec, ctx))
    engine = engine_of(spec) if isinstance(spec.model, CausalLm) else None
    try:
        chosen = choose(setup, processes, engine=engine, able=lambda other: able(spec, other, ctx))
    except ValueError as error:
        raise _undecided(str(error)) from None
    if chosen.fit is Fit.NEVER:
        raise _nothing_fits(chosen)
    why = chosen.why if bound is None else f"{chosen.why}; {bound}"
    return _layout(chosen.setup), why


def _processes(spec: TrainingSpec, place: TrainingPlace) -> tuple[int, str | None]:
    """As many as were asked for, or as there are devices; a CPU counts as one for each machine. And what bounds them."""
    assert isinstance(spec.strategy, Auto)  # noqa: S101
    asked = spec.strategy.processes
    if asked is not None:
        return asked, None
    devices = place.hosts if place.device.host else place.device.count
    if devices > spec.batch_size:
        return spec.batch_size, f"a batch has {spec.batch_size} rows for {devices} devices"
    return devices, None


def _shape(spec: TrainingSpec, ctx: Context) -> Shape:
    return shape_of(spec, ctx, _FEATURES) if isinstance(spec.model, Mlp) else shape_of(spec, ctx, None)


def _teacher(spec: TrainingSpec, ctx: Context) -> LanguageShape | None:
    try:
        return teacher_of(spec, ctx)
    except UnknownShape as error:
        raise _undecided(str(error)) from None


def able(spec: TrainingSpec, setup: Setup, ctx: Context) -> bool:
    """Whether the rest of the spec goes with a strategy."""
    if not goes_with(spec, setup.strategy):
        return False
    if isinstance(setup.shape, DenseShape) or setup.engine != "torch" or not isinstance(spec.model, CausalLm):
        return True
    config = model_config(spec.model.base, spec.model.revision, ctx)
    if spec.model.revision is not None and not config.get("architectures"):  # known by its name, and not here yet
        return setup.tensor == setup.pipeline == 1 and setup.shape.family in _LLAMA_LIKE
    return not parallel_problems(config, _layout(setup))


def _layout(setup: Setup) -> Layout:
    return Layout.model_validate(
        {"strategy": setup.strategy, "data": setup.data, "tensor": setup.tensor, "pipeline": setup.pipeline}
    )


def _undecided(reason: str) -> MlctlError:
    return MlctlError.of(
        "training.auto-undecided",
        "`strategy: auto` cannot be decided",
        reason,
        "name a strategy, for example `strategy: {type: ddp, processes: 2}`",
    )


def _nothing_fits(chosen: Choice) -> MlctlError:
    steps = together(chosen.setup)
    way = ", ".join(item.change for item in steps)
    fix = f"try {way}: {spoken_bytes(steps[-1].needed.mid)}" if steps else "take larger devices, or more of them"
    return MlctlError.of("training.does-not-fit", "no strategy makes the training fit its devices", chosen.why, fix)
