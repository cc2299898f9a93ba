"""What a training asks for that its device, its libraries or its base do not have: said before anything is loaded."""

from __future__ import annotations

import importlib.util
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import torch

from mlctl.runtime.trainer.engine import Place
from mlctl.runtime.trainer.hf_engine.rows import TokenRows
from mlctl.runtime.trainer.plan import PreparedText, RankPlan
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.recipe import ZERO, CausalLmModel, LoraMethod, Recipe

_STRATEGIES = ("single", "ddp", *ZERO)


def check(plan: RankPlan, rows: TokenRows, place: Place) -> None:
    """Raise MlctlError with all that is missing."""
    found = [*capabilities(plan.recipe, place.device), *_vocabulary(plan, rows)]
    if found:
        raise MlctlError(found)


def capabilities(recipe: Recipe, device: torch.device) -> Iterator[Diagnostic]:
    """What the engine cannot do of a recipe on this device, and how to go on."""
    yield from _engine(recipe)
    yield from _packages(recipe)
    yield from _device(recipe, device)


def _engine(recipe: Recipe) -> Iterator[Diagnostic]:
    strategy, optimizer, method = recipe.layout.strategy, recipe.optimizer, recipe.method
    if not isinstance(recipe.model, CausalLmModel):
        yield _of("model", f"the engine `hf` does not train a `{recipe.model.type}` model", "use `engine: torch`")
    if strategy not in _STRATEGIES:
        yield _of("strategy", f"the engine `hf` has no strategy `{strategy}`", "use `engine: torch`")
    if optimizer.fused and optimizer.type not in ("adamw", "sgd"):
        yield _of("optimizer", f"there is no fused `{optimizer.type}`", "remove `optimizer.fused`")
    if method.type == "galore" and (optimizer.type != "adamw" or optimizer.fused):
        yield _of("method", "GaLore works with plain `adamw` alone", "set `optimizer.type: adamw`, without `fused`")
    if strategy in ZERO:
        yield from _zero(recipe)
    elif {"optimizer", "parameters"} & set(recipe.memory.offload):
        yield _of("offload", f"`{strategy}` cannot offload optimizer or parameters", "use `zero2` or `zero3`")


def _zero(recipe: Recipe) -> Iterator[Diagnostic]:
    strategy, optimizer, method = recipe.layout.strategy, recipe.optimizer, recipe.method
    if method.type == "galore" or optimizer.type == "adafactor":
        name = "GaLore" if method.type == "galore" else "Adafactor"
        why = "needs whole matrices, of which DeepSpeed makes flat parts"
        yield _of("method", f"{name} does not work with `{strategy}`: it {why}", "use `ddp`, or another optimizer")
    if optimizer.type == "adamw_8bit":
        yield _of(
            "optimizer", f"`adamw_8bit` does not work with `{strategy}`", "use `adamw`: its state is shared already"
        )
    if strategy == "zero3" and method.type == "qlora":
        yield _of("method", "`zero3` cannot share quantized weights", "use `zero2`, `ddp`, or `method: {type: lora}`")
    if "parameters" in recipe.memory.offload and strategy != "zero3":
        yield _of("offload", f"`{strategy}` cannot offload parameters", "use `zero3`")
    if recipe.checkpoint.background:
        why = "all processes write their parts at the same time"
        yield _of("checkpoint", f"`{strategy}` cannot save in the background: {why}", "remove `checkpoint.background`")
    if recipe.memory.compile:
        yield _of("compile", f"`memory.compile` does not work with `{strategy}`", "remove it, or use `ddp`")


def _packages(recipe: Recipe) -> Iterator[Diagnostic]:
    method = recipe.method
    wanted = {
        "peft": isinstance(method, LoraMethod)
        or (isinstance(recipe.model, CausalLmModel) and bool(recipe.model.adapters)),
        "deepspeed": recipe.layout.strategy in ZERO,
        "bitsandbytes": method.type == "qlora" or recipe.optimizer.type == "adamw_8bit",
        "galore_torch": method.type == "galore",
    }
    extras = {"bitsandbytes": "qlora", "galore_torch": "galore"}
    for name, needed in wanted.items():
        if needed and importlib.util.find_spec(name) is None:
            extra = extras.get(name, "train")
            yield _of("package", f"the package `{name.replace('_', '-')}` is missing", f"pip install 'mlctl[{extra}]'")
    if recipe.memory.compile and shutil.which("g++") is None:
        fix = "install a C++ compiler (package `g++` or `build-essential`), or remove `memory.compile`"
        yield _of("tool", "`g++` is missing, which `memory.compile` needs", fix)


def _device(recipe: Recipe, device: torch.device) -> Iterator[Diagnostic]:
    if device.type == "cpu":
        if recipe.precision == "fp16":
            yield _of("precision", "this machine has no GPU, and a CPU cannot train in fp16", "set `precision: bf16`")
        if recipe.memory.offload:
            why = "the training runs on the CPU, whose memory already holds everything"
            yield _of("offload", f"`memory.offload` has no effect here: {why}", "remove it, or train on a GPU")
    elif recipe.precision == "bf16" and not torch.cuda.is_bf16_supported():
        name = torch.cuda.get_device_name(device)
        yield _of("precision", f"{name} cannot compute in bf16", "set `precision: fp16`")


def _vocabulary(plan: RankPlan, rows: TokenRows) -> Iterator[Diagnostic]:
    assert isinstance(plan.data, PreparedText)  # noqa: S101
    config = json.loads((Path(plan.data.base) / "config.json").read_bytes())
    size = config.get("vocab_size") or config.get("text_config", {}).get("vocab_size")
    highest = rows.highest()
    if size is not None and highest >= size:
        yield _of(
            "tokenizer",
            f"the text has the token {highest}, and the base knows tokens up to {size - 1}",
            "the tokenizer in the folder of the base must be the one that the base was trained with",
        )


def _of(what: str, summary: str, fix: str) -> Diagnostic:
    return Diagnostic(f"training.{what}-unsupported", summary, "", fix)
