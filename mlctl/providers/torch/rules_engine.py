"""What the engines, the strategies, the optimizers and the memory options cannot do of each other."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from mlctl.providers.torch.layout import TORCH_ONLY, engine_of
from mlctl.providers.torch.problem import problem
from mlctl.providers.torch.spec import CausalLm, Corpus, Full, Galore, Mlp, TrainingSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.recipe import ZERO

_SHARDED = ("fsdp", *ZERO)
_CUT = ("tensor", "pipeline", "3d")
_KEEPS_ALL = ("single", "ddp")


class _Excluded(NamedTuple):
    """A choice that some strategies cannot go along with."""

    path: tuple[str, ...]
    choice: Callable[[TrainingSpec], str | None]  # its name, where it was chosen
    strategies: tuple[str, ...]
    why: str
    fix: str


def _optimizer(spec: TrainingSpec) -> str | None:
    return spec.optimizer.type if spec.optimizer.type in ("adamw_8bit", "adafactor") else None


def _offloads(*names: str) -> Callable[[TrainingSpec], str | None]:
    def choice(spec: TrainingSpec) -> str | None:
        return next((f"offload: {name}" for name in spec.memory.offload if name in names), None)

    return choice


_EXCLUDED = (
    _Excluded(
        ("method", "type"),
        lambda spec: "qlora" if spec.method.type == "qlora" else None,
        ("zero3",),
        "weights of 4 or 8 bits cannot be cut over processes",
        "use `ddp`, or `zero2`",
    ),
    _Excluded(
        ("method", "type"),
        lambda spec: "galore" if isinstance(spec.method, Galore) else None,
        ZERO,
        "it projects whole gradients, and ZeRO has only a part of each",
        "use `single` or `ddp`",
    ),
    _Excluded(
        ("distill",),
        lambda spec: "distill" if spec.distill is not None else None,
        ("zero3",),
        "the teacher is whole on each process, beside a student that is in parts to save that memory",
        "use `ddp`, or `zero2`",
    ),
    _Excluded(
        ("optimizer", "fused"),
        lambda spec: "fused" if spec.optimizer.fused else None,
        (*ZERO, *_CUT),
        "weights that are shared or cut are updated by kernels of their own",
        "remove `fused`",
    ),
    _Excluded(
        ("optimizer", "type"),
        _optimizer,
        (*_SHARDED, *_CUT),
        "its state is of whole weights, which are shared or cut there",
        "use `adamw`",
    ),
    _Excluded(
        ("memory", "compile"),
        lambda spec: "compile" if spec.memory.compile else None,
        (*ZERO, *_CUT),
        "the compiler cannot follow weights that come and go",
        "remove `compile`",
    ),
    _Excluded(
        ("memory", "offload"),
        _offloads("optimizer", "parameters"),
        _KEEPS_ALL,
        "each process needs all of it on its device",
        "remove it, or use `fsdp` or `zero3`",
    ),
    _Excluded(
        ("memory", "offload"),
        _offloads("parameters"),
        ("zero1", "zero2"),
        "each process needs all weights on its device",
        "remove it, or use `zero3`",
    ),
    _Excluded(
        ("memory", "offload"),
        _offloads("activations", "optimizer", "parameters"),
        _CUT,
        "each process holds a small part already",
        "remove `offload`",
    ),
    _Excluded(
        ("precision",),
        lambda spec: "fp16" if spec.precision == "fp16" else None,
        _CUT,
        "its loss scale would have to be agreed on between the parts of each weight",
        "set `precision: bf16`",
    ),
    _Excluded(
        ("checkpoint", "background"),
        lambda spec: "background" if spec.checkpoint.background else None,
        ZERO,
        "DeepSpeed writes the parts of all processes at the same time",
        "remove `background`",
    ),
)


def check_strategy(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """What the strategy cannot go along with."""
    kind = spec.strategy.type
    for name, item in _excluded(spec, kind):
        yield problem("excluded", f"`{name}` does not go with `{kind}`", item.why, item.fix, *item.path)


def goes_with(spec: TrainingSpec, strategy: str) -> bool:
    """Whether a training that leaves its strategy open could name this one."""
    return not any(_excluded(spec, strategy)) and not (strategy == "fsdp" and _offloads_half(spec))


def _excluded(spec: TrainingSpec, strategy: str) -> Iterator[tuple[str, _Excluded]]:
    for item in _EXCLUDED:
        name = item.choice(spec) if strategy in item.strategies else None
        if name is not None:
            yield name, item


def _offloads_half(spec: TrainingSpec) -> bool:
    return ("optimizer" in spec.memory.offload) != ("parameters" in spec.memory.offload)


def check_engine(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether the engine can do the strategy and the method."""
    if isinstance(spec.model, CausalLm):
        yield from _check_language(spec)
        return
    if spec.engine == "hf":
        yield problem(
            "engine",
            f"the engine `hf` does not train a model of type `{spec.model.type}`",
            "it is Transformers' Trainer, for language models",
            "remove `engine`",
            "engine",
        )
    if spec.strategy.type not in ("single", "ddp", "fsdp", "auto"):
        yield problem(
            "strategy",
            f"`{spec.strategy.type}` does not go with a model of type `{spec.model.type}`",
            "DeepSpeed runs under the engine `hf`, and only the layers of a known transformer can be cut",
            "use `ddp`, or `fsdp`, which shares weights, gradients and optimizer state as ZeRO-3 does",
            *("strategy", "type"),
        )
    if not isinstance(spec.method, Full):
        yield problem(
            "method",
            f"`{spec.method.type}` does not go with a model of type `{spec.model.type}`",
            "it is a way to train a language model",
            "remove `method`, or use `model: {type: causal_lm, ...}`",
            *("method", "type"),
        )


def _check_language(spec: TrainingSpec) -> Iterator[Diagnostic]:
    kind, engine, adapted = spec.strategy.type, engine_of(spec), not isinstance(spec.method, Full)
    if engine == "hf" and kind in TORCH_ONLY and spec.engine is None:  # which adapters and teachers want
        yield problem(
            "strategy",
            f"`{spec.method.type if adapted else 'distill'}` does not go with `{kind}`",
            "adapters, GaLore and distillation are trained by Transformers' Trainer, which does not cut models so",
            f"use {_strategies_of(spec)}",
            *("strategy", "type"),
        )
    elif engine == "hf" and kind in TORCH_ONLY:
        yield problem(
            "strategy",
            f"the engine `hf` cannot do `{kind}`",
            "outside of GPUs its libraries drop this sharding without a word",
            "remove `engine`, or use `zero3`, which shares weights, gradients and optimizer state",
            *("strategy", "type"),
        )
    if engine == "torch" and kind in ZERO:
        yield problem(
            "strategy",
            f"the engine `torch` cannot do `{kind}`",
            "ZeRO is DeepSpeed's, and runs under the engine `hf`",
            "remove `engine`, or use `fsdp`",
            *("strategy", "type"),
        )
    if engine == "torch" and (adapted or spec.distill is not None):
        yield problem(
            "method",
            f"`{spec.method.type if adapted else 'distill'}` does not go with the engine `torch`",
            "adapters, GaLore and distillation are trained by the engine `hf`",
            "remove `engine`, with one of `single`, `ddp`, `zero1`, `zero2`, `zero3`",
            *(("method", "type") if adapted else ("distill",)),
        )


def _strategies_of(spec: TrainingSpec) -> str:
    """Strategies for several processes that the engine `hf` can do of a training, in words."""
    able = [f"`{name}`" for name in ("ddp", *ZERO) if goes_with(spec, name)]
    return " or ".join([", ".join(able[:-1]), able[-1]] if len(able) > 1 else able)


def check_optimizer(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether the optimizer has the fields it is given."""
    optimizer = spec.optimizer
    for name, of in (("betas", ("adamw", "adamw_8bit")), ("momentum", ("sgd",)), ("fused", ("adamw", "sgd"))):
        given = getattr(optimizer, name)
        if given is not None and given is not False and optimizer.type not in of:
            yield problem(
                "optimizer-field-unused",
                f"`{name}` has no effect on `{optimizer.type}`",
                f"it is of {' and '.join(f'`{item}`' for item in of)}",
                f"remove `{name}`",
                *("optimizer", name),
            )
    if isinstance(spec.method, Galore) and (optimizer.type != "adamw" or optimizer.fused):
        yield problem(
            "optimizer",
            f"`galore` does not go with `{'fused' if optimizer.type == 'adamw' else optimizer.type}`",
            "it is a form of adamw by itself",
            "set `optimizer.type: adamw`, without `fused`",
            *("optimizer", "type"),
        )


def check_memory(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether what is given for memory has an effect."""
    offload = spec.memory.offload
    for twice in sorted({item for item in offload if offload.count(item) > 1}):
        yield problem("duplicate", f"`{twice}` stands twice in `offload`", "", "name it once", "memory", "offload")
    if spec.strategy.type == "fsdp" and _offloads_half(spec):
        yield problem(
            "offload",
            "`fsdp` offloads parameters and optimizer state together",
            "PyTorch keeps the state where the weights are",
            "write `offload: [optimizer, parameters]`",
            *("memory", "offload"),
        )
    if spec.memory.gradient_checkpointing and isinstance(spec.model, Mlp):
        yield problem(
            "checkpointing-unused",
            "`gradient_checkpointing` saves nothing on an `mlp`",
            "its layers keep one row of numbers each, which is all that could be computed again",
            "remove it",
            *("memory", "gradient_checkpointing"),
        )


def check_distill(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether a distillation's fields go together, and with its data."""
    distill = spec.distill
    if distill is None:
        return
    if not isinstance(spec.model, CausalLm):
        yield problem(
            "distill",
            f"`distill` does not go with a model of type `{spec.model.type}`",
            "a student learns the token probabilities of a language model",
            "remove it",
            "distill",
        )
        return
    for name, policy in (("alpha", False), ("beta", True), ("max_new_tokens", True)):
        if getattr(distill, name) is not None and distill.on_policy is not policy:
            yield problem(
                "distill-field-unused",
                f"`{name}` has no effect {'without' if policy else 'with'} `on_policy`",
                "there the student learns from what it writes itself"
                if not policy
                else "it is of what the student writes itself",
                f"remove `{name}`",
                *("distill", name),
            )
    data = spec.data
    if not distill.on_policy or not isinstance(data, Corpus):
        return
    if data.text is not None:
        yield problem(
            "distill",
            "the student needs prompts to answer",
            "plain text has none",
            "give `messages`, or `prompt` and `completion`",
            "data",
        )
    if data.packing:
        yield problem(
            "distill",
            "`on_policy` needs one document a row",
            "the student answers one prompt at a time",
            "set `packing: false`",
            *("data", "packing"),
        )
