"""From the spec of a training to what the estimates' formulas ask for."""

from __future__ import annotations

from mlctl.estimate.calibration import Group
from mlctl.estimate.setup import Setup
from mlctl.estimate.shapes import LanguageShape, Shape
from mlctl.estimate.time import Work
from mlctl.providers.torch.devices import TrainingPlace
from mlctl.providers.torch.layout import engine_of
from mlctl.providers.torch.sizes import Amount
from mlctl.providers.torch.spec import CausalLm, Corpus, Galore, LowRank, Qlora, TrainingSpec
from mlctl.types.estimate import Range
from mlctl.types.jobs.recipe import Layout

_SHORTEST = 8  # tokens of a row
_EARLY = 0.1  # of a training: it may stop so early


def setup_of(
    spec: TrainingSpec,
    shape: Shape,
    layout: Layout,
    place: TrainingPlace,
    teacher: LanguageShape | None = None,
    rows: float = 0.0,
) -> Setup:
    """A training spread by a layout. `rows` are those that it learns from, as far as they are known: those of a
    table are mapped into memory."""
    method, language = spec.method, isinstance(shape, LanguageShape)
    target: tuple[str, ...] | None = None
    if isinstance(method, LowRank) and method.target != "all-linear":
        target = tuple(method.target)
    return Setup(
        shape=shape,
        device=place.device,
        batch=spec.batch_size,
        micro=spec.micro_batch_size,
        length=spec.data.max_length if isinstance(spec.data, Corpus) and language else 1,
        engine=engine_of(spec),
        method=method.type,
        rank=method.r if isinstance(method, LowRank) else method.rank if isinstance(method, Galore) else 0,
        target=target,
        quantization=method.quantization if isinstance(method, Qlora) else None,
        strategy=layout.strategy,
        data=layout.data,
        tensor=layout.tensor,
        pipeline=layout.pipeline,
        microbatches=layout.microbatches,
        precision=spec.precision,
        optimizer=spec.optimizer.type,
        momentum=bool(spec.optimizer.momentum),
        checkpointing=spec.memory.gradient_checkpointing,
        offload=tuple(spec.memory.offload),
        teacher=teacher,
        hosts=place.hosts,
        sure=_sure(spec, rows),
        table=0 if isinstance(shape, LanguageShape) else int(rows * 4 * (shape.features + 1)),
        compiled=spec.memory.compile,
    )


def _sure(spec: TrainingSpec, rows: float) -> float:
    """The share of a full batch that a step surely holds: documents that are not packed may be as short as a word."""
    if isinstance(spec.data, Corpus) and isinstance(spec.model, CausalLm) and not spec.data.packing:
        return _SHORTEST / max(_SHORTEST, spec.data.max_length) / spec.batch_size
    return min(1.0, max(1.0, rows) / spec.batch_size)


def work_of(spec: TrainingSpec, amount: Amount) -> Work:
    """All epochs together, or fewer steps where those are the end."""
    steps = [
        max(1.0, rows / spec.batch_size) * spec.epochs for rows in (amount.rows.low, amount.rows.mid, amount.rows.high)
    ]
    learnt = (amount.tokens or amount.rows) * float(spec.epochs)
    if spec.max_steps is not None:
        most = [min(1.0, spec.max_steps / found) for found in steps]
        # fewer rows are all of them learnt from; of more, as many as so many steps take
        learnt = _sorted(learnt.low * most[0], learnt.mid * most[1], learnt.high * most[2])
        steps = [min(found, float(spec.max_steps)) for found in steps]
    if spec.early_stopping is not None:
        learnt = Range(learnt.low * _EARLY, learnt.mid, learnt.high)
    packed = spec.data.packing if isinstance(spec.data, Corpus) else True
    return Work(learnt, steps[1], packed=packed, validated=amount.validated)


def _sorted(*values: float) -> Range:
    low, mid, high = sorted(values)
    return Range(low, mid, high)


def group_of(spec: TrainingSpec, setup: Setup) -> Group:
    """Which past runs are like this one."""
    cores = f" x{setup.device.count}" if setup.device.host else ""
    return Group(
        model=spec.model.type,
        method=setup.method,
        strategy=setup.strategy,
        device=f"{setup.device.name}{cores}",
        engine=setup.engine,
        precision=setup.precision,
        magnitude=len(str(setup.parameters)),
    )
