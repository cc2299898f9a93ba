"""What is trained: the base model as a method wants it, and the weights that come out of it."""

from __future__ import annotations

import os
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from mlctl.files import atomic
from mlctl.runtime.trainer.engine import WEIGHTS_FILE, Place
from mlctl.runtime.trainer.plan import RankPlan
from mlctl.types.jobs.recipe import ZERO, CausalLmModel, LoraMethod, Recipe

ADAPTER_FILE = "adapter_model.safetensors"


def load(plan: RankPlan, place: Place) -> Any:
    """The model that is trained, on the CPU or, in parts, where DeepSpeed puts it. All ranks call it."""
    recipe = plan.recipe
    assert isinstance(recipe.model, CausalLmModel)  # noqa: S101
    if recipe.model.adapters:
        raise ValueError(
            "adapters are merged into the base before ranks begin; the plan of the ranks must not name them again"
        )
    model = _base(plan.data.base, recipe, place)  # type: ignore[union-attr]
    model.config.use_cache = False
    method = recipe.method
    if isinstance(method, LoraMethod):
        model = _with_adapter(model, method, recipe)
    if recipe.memory.gradient_checkpointing:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    return model


def base_precision(recipe: Recipe) -> torch.dtype:
    """The type of the weights. What is trained stays in 32 bits, and 16-bit kernels get copies; frozen weights, and those of which
    DeepSpeed keeps a 32-bit copy, are in 16 bits."""
    halves = {"bf16": torch.bfloat16, "fp16": torch.float16}
    frozen = isinstance(recipe.method, LoraMethod) or recipe.layout.strategy in ZERO
    return halves.get(recipe.precision, torch.float32) if frozen else torch.float32


def _base(folder: str, recipe: Recipe, place: Place) -> Any:
    from transformers import AutoModelForCausalLM

    # PyTorch's own attention: the package flash-attn keeps packed documents apart in batches of one row alone
    options: dict[str, Any] = {
        "dtype": base_precision(recipe),
        "local_files_only": True,
        "attn_implementation": "sdpa",
    }
    method = recipe.method
    if not isinstance(method, LoraMethod) or method.type != "qlora":
        return AutoModelForCausalLM.from_pretrained(folder, **options)
    from peft import prepare_model_for_kbit_training
    from transformers import BitsAndBytesConfig

    if method.quantization == "int8":
        quantization = BitsAndBytesConfig(load_in_8bit=True)
    else:
        quantization = BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=base_precision(recipe),
        )
    at = place.device.index if place.device.type == "cuda" else "cpu"
    model = AutoModelForCausalLM.from_pretrained(
        folder, quantization_config=quantization, device_map={"": at}, **options
    )
    for item in model.modules():
        # else weights are laid out anew by the first validation, which fails for widths that are no multiple of 64
        if hasattr(item, "support_avx512bf16_for_cpu"):
            item.support_avx512bf16_for_cpu = False
    return prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)


def _with_adapter(model: Any, method: LoraMethod, recipe: Recipe) -> Any:
    from peft import LoraConfig, get_peft_model

    torch.manual_seed(recipe.seed)  # the same first adapter on each rank, and whenever it is made anew
    config = LoraConfig(
        r=method.r,
        lora_alpha=method.alpha,
        lora_dropout=method.dropout,
        target_modules=method.target,
        use_dora=method.type == "dora",
        task_type="CAUSAL_LM",
    )
    try:
        return get_peft_model(model, config)
    except ValueError as error:
        if "Target modules" not in str(error):
            raise
        names = sorted({name.rpartition(".")[2] for name, item in model.named_modules() if isinstance(item, nn.Linear)})
        raise ValueError(
            f"the base has no module that `method.target` names ({', '.join(method.target)}); "
            f"its linear layers are {', '.join(names)}"
        ) from None


def trained_state(model: Any, place: Place) -> dict[str, torch.Tensor] | None:
    """What is to be kept, by name, on the CPU of rank 0; None on the others. Weights that ranks share are put together one by one,
    so that no rank ever holds all of them on its device. All ranks call it."""
    adapter = adapter_config(model) is not None
    state: dict[str, torch.Tensor] = {}
    for name, value in model.named_parameters():
        if adapter and not value.requires_grad:
            continue
        with _whole(value):
            if place.rank == 0:
                state[name] = value.detach().cpu().clone()
    if place.rank != 0:
        return None
    if adapter:
        from peft import get_peft_model_state_dict

        found: dict[str, torch.Tensor] = get_peft_model_state_dict(model, state_dict=state)
        return {name: value.contiguous() for name, value in found.items()}
    return {**state, **_kept_buffers(model)}


def _kept_buffers(model: nn.Module) -> dict[str, torch.Tensor]:
    kept = model.state_dict().keys()
    return {name: value.detach().cpu().clone() for name, value in model.named_buffers() if name in kept}


def _whole(value: nn.Parameter) -> Any:
    """A context in which a parameter that ZeRO-3 has cut is whole."""
    if not hasattr(value, "ds_id"):
        return nullcontext()
    import deepspeed

    return deepspeed.zero.GatheredParameters([value])


def adapter_config(model: Any) -> Any:
    """PEFT's configuration of the adapter that is trained, or None for a model without one."""
    found = getattr(model, "peft_config", None)
    return found["default"] if found else None


def write(folder: Path, model: Any, state: dict[str, torch.Tensor], base: str) -> None:
    """Write what is kept into a new folder: an adapter in PEFT's format, with the base as the project names it, or all weights."""
    config = adapter_config(model)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / (WEIGHTS_FILE if config is None else ADAPTER_FILE)
    save_file(state, path, metadata={"format": "pt"})
    with open(path, "rb") as stream:
        os.fsync(stream.fileno())
    if config is not None:
        facts = {**config.to_dict(), "base_model_name_or_path": base, "inference_mode": True}
        plain = {name: sorted(value) if isinstance(value, set) else value for name, value in facts.items()}
        atomic.write_json(folder / "adapter_config.json", plain)


def read(folder: Path, model: Any) -> None:
    """Put weights that `write` wrote into a model that is whole. Raises ValueError when they are not this model's."""
    if adapter_config(model) is not None:
        from peft import set_peft_model_state_dict

        result = set_peft_model_state_dict(model, load_file(folder / ADAPTER_FILE))
        missing = [name for name in result.missing_keys if "lora_" in name]
    else:
        result = model.load_state_dict(load_file(folder / WEIGHTS_FILE), strict=False)
        names = {name for name, _ in model.named_parameters()}
        missing = [name for name in result.missing_keys if name in names]  # others share the weights of one of these
    if missing or result.unexpected_keys:
        wrong = ", ".join([*missing, *result.unexpected_keys][:5])
        raise ValueError(f"the weights in {folder} are of another model: {wrong} do not fit")
