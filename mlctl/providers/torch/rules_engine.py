"""What the engines, the strategies, the optimizers and the memory options cannot do of each other."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from mlctl.providers.torch.layout import TORCH_ONLY, engine_of
from mlctl.providers.torch.problem import problem
from mlctl.providers.torch.spec import Auto, CausalLm, Corpus, Full, Galore, Mlp, TrainingSpec
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.jobs.recipe import ZERO

_SHARDED = ("fsdp", *ZERO)
_CUT = ("tensor", "pipeline", "3d")


def check_engine(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether the engine can do the strategy and the method."""
    kind, language = spec.strategy.type, isinstance(spec.model, CausalLm)
    if not language:
        if spec.engine == "hf":
            yield problem(
                "engine",
                f"the engine `hf` does not train a model of type `{spec.model.type}`",
                "it is Transformers' Trainer, for language models",
                "remove `engine`",
                "engine",
            )
        if kind not in ("single", "ddp", "fsdp", "auto"):
            yield problem(
                "strategy",
                f"`{kind}` does not go with a model of type `{spec.model.type}`",
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
        return
    adapted = not isinstance(spec.method, Full)
    if engine_of(spec) == "hf" and kind in TORCH_ONLY:
        yield problem(
            "strategy",
            f"the engine `hf` cannot do `{kind}`",
            "outside of GPUs its libraries drop this sharding without a word",
            "remove `engine`, or use `zero3`, which shares weights, gradients and optimizer state",
            *("strategy", "type"),
        )
    if engine_of(spec) == "torch" and kind in ZERO:
        yield problem(
            "strategy",
            f"the engine `torch` cannot do `{kind}`",
            "ZeRO is DeepSpeed's, and runs under the engine `hf`",
            "remove `engine`, or use `fsdp`",
            *("strategy", "type"),
        )
    if engine_of(spec) == "torch" and (adapted or spec.distill is not None):
        name = spec.method.type if adapted else "distill"
        yield problem(
            "method",
            f"`{name}` does not go with {f'`{kind}`' if spec.engine is None else 'the engine `torch`'}",
            "adapters, GaLore and distillation are trained by the engine `hf`",
            "use one of `single`, `ddp`, `zero1`, `zero2`, `zero3`, without `engine: torch`",
            *(("method", "type") if adapted else ("distill",)),
        )
    if spec.method.type == "qlora" and kind == "zero3":
        yield problem(
            "method",
            "`qlora` does not go with `zero3`",
            "weights of 4 or 8 bits cannot be cut over processes",
            "use `ddp`, or `zero2`",
            *("method", "type"),
        )
    if isinstance(spec.method, Galore) and kind in ZERO:
        yield problem(
            "method",
            f"`galore` does not go with `{kind}`",
            "it projects whole gradients, and ZeRO has only a part of each",
            "use `single` or `ddp`",
            *("method", "type"),
        )


def check_optimizer(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether the optimizer has the fields it is given, and can work on weights that are shared or cut."""
    optimizer = spec.optimizer
    for name, of in (("betas", ("adamw", "adamw_8bit")), ("momentum", ("sgd",))):
        if getattr(optimizer, name) is not None and optimizer.type not in of:
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
    if optimizer.fused and optimizer.type not in ("adamw", "sgd"):
        yield problem(
            "optimizer-field-unused",
            f"`fused` has no effect on `{optimizer.type}`",
            "PyTorch fuses adamw and sgd",
            "remove `fused`",
            *("optimizer", "fused"),
        )
    kind = spec.strategy.type
    if optimizer.fused and kind in (*ZERO, *_CUT):
        yield problem(
            "optimizer-field-unused",
            f"`fused` does not go with `{kind}`",
            "weights that are shared or cut are updated by kernels of their own",
            "remove `fused`",
            *("optimizer", "fused"),
        )
    if optimizer.type in ("adamw_8bit", "adafactor") and kind in (*_SHARDED, *_CUT):
        yield problem(
            "optimizer",
            f"`{optimizer.type}` does not go with `{kind}`",
            "its state is of whole weights, which are shared or cut there",
            "use `adamw`",
            *("optimizer", "type"),
        )


def check_memory(spec: TrainingSpec) -> Iterator[Diagnostic]:
    """Whether what is given for memory has an effect under the strategy."""
    kind, offload = spec.strategy.type, spec.memory.offload
    for twice in sorted({item for item in offload if offload.count(item) > 1}):
        yield problem("duplicate", f"`{twice}` stands twice in `offload`", "", "name it once", "memory", "offload")
    sharded: dict[Literal["optimizer", "parameters"], tuple[str, ...]]
    sharded = {"optimizer": _SHARDED, "parameters": ("fsdp", "zero3")}
    for name, able in sharded.items():
        if name in offload and kind not in able and not isinstance(spec.strategy, Auto):
            yield problem(
                "offload",
                f"`{kind}` keeps its {name if name == 'parameters' else 'optimizer state'} on the device",
                f"{', '.join(f'`{item}`' for item in able)} can keep it in the host's memory",
                f"remove `{name}`, or change the strategy",
                *("memory", "offload"),
            )
    if kind == "fsdp" and ("optimizer" in offload) != ("parameters" in offload):
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
    if spec.memory.compile and kind in (*ZERO, *_CUT):
        yield problem(
            "compile",
            f"`compile` does not go with `{kind}`",
            "the compiler cannot follow weights that come and go",
            "remove `compile`",
            *("memory", "compile"),
        )
    if offload and kind in _CUT:
        yield problem(
            "offload",
            f"`offload` does not go with `{kind}`",
            "each process holds a small part already",
            "remove `offload`",
            *("memory", "offload"),
        )
    if spec.precision == "fp16" and kind in _CUT:
        yield problem(
            "precision",
            f"`fp16` does not go with `{kind}`",
            "its loss scale would have to be agreed on between the parts of each weight",
            "set `precision: bf16`",
            "precision",
        )
    if spec.checkpoint.background and kind in ZERO:
        yield problem(
            "background",
            f"`background` does not go with `{kind}`",
            "DeepSpeed writes the parts of all processes at the same time",
            "remove `background`",
            *("checkpoint", "background"),
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
    if spec.strategy.type == "zero3":
        yield problem(
            "distill",
            "`distill` does not go with `zero3`",
            "the teacher is whole on each process, beside a student that is in parts to save that memory",
            "use `ddp`, or `zero2`",
            *("strategy", "type"),
        )
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
