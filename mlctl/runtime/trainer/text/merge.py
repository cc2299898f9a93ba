"""Adapters become part of the weights they stand beside: W + weight * (alpha / r) * B A for each matrix (DoRA: rescaled as well)."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mlctl.runtime.trainer.text.base import ADAPTER_CONFIG
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Adapter

ADAPTER_FILE = "adapter_model.safetensors"


def add_adapters(module: Any, adapters: Sequence[Adapter]) -> Any:
    """The module with each adapter added by its weight. A low-rank difference does not depend on what else is added; DoRA's
    does, so that one stands alone and whole. Raises MlctlError."""
    for item in adapters:
        settings = adapter_settings(Path(item.path))
        if settings.get("use_dora") and (item.weight != 1 or len(adapters) > 1):
            raise MlctlError.of(
                "training.dora-mixed",
                f"the adapter `{item.path}` was trained by DoRA",
                "its magnitudes replace those of the base, so that it can be neither weighted nor added to others",
                "use it alone with weight 1, or train by `lora`",
            )
        module = merged(module, Path(item.path), item.weight)
    return module


def merged(module: Any, folder: Path, weight: float = 1.0) -> Any:
    """The module with an adapter in its weights, each computed in 32 bits and rounded once to the type that the module has. Raises
    MlctlError when the adapter is not for this model."""
    from peft import PeftModel
    from peft.tuners.lora import LoraLayer

    check_fit(module, folder)
    try:
        beside = PeftModel.from_pretrained(module, str(folder), torch_device="cpu")
    except (RuntimeError, ValueError, KeyError) as error:
        raise MlctlError.of(
            "training.bad-adapter",
            f"the adapter `{folder}` does not fit the base",
            str(error).strip().splitlines()[0],
            "use it with the base it was trained on",
        ) from None
    for layer in beside.modules():
        if isinstance(layer, LoraLayer):
            layer.scale_layer(weight)
            _merge(layer)
    with warnings.catch_warnings():  # that there is nothing left to merge
        warnings.simplefilter("ignore")
        return beside.merge_and_unload()


def _merge(layer: Any) -> None:
    """Merge one layer in 32 bits, so that no more than its own matrix is ever held twice as wide as the module is."""
    import torch

    weights = list(layer.get_base_layer().parameters())
    kinds = [item.dtype for item in weights]
    for item in weights:
        item.data = item.data.to(torch.float32)
    layer.merge(safe_merge=True)
    for item, kind in zip(weights, kinds, strict=True):
        item.data = item.data.to(kind)


def check_fit(module: Any, folder: Path) -> None:
    """Raises MlctlError when an adapter has a matrix for a layer that the module does not have: PEFT would leave it out without a word."""
    from safetensors import safe_open

    names = {name for name, _ in module.named_modules()}
    path = folder / ADAPTER_FILE
    with safe_open(path, framework="pt") as stored:
        layers = {name.partition(".lora_")[0].removeprefix("base_model.model.") for name in stored.keys()}  # noqa: SIM118
    strange = sorted(layer for layer in layers if layer not in names)
    if strange:
        raise MlctlError.of(
            "training.bad-adapter",
            f"the adapter `{folder}` does not fit the base",
            f"it has weights for `{strange[0]}`, which the base does not have",
            "use it with the base it was trained on",
        )


def adapter_settings(folder: Path) -> dict[str, Any]:
    """What the adapter in a folder says of itself. Raises MlctlError when it is none that can be merged."""
    try:
        found: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_bytes())
    except (OSError, ValueError):
        found = {}
    if found.get("peft_type") != "LORA" or not (folder / ADAPTER_FILE).is_file():
        kind = found.get("peft_type")
        raise MlctlError.of(
            "training.bad-adapter",
            f"`{folder}` holds no LoRA adapter",
            f"it is of the type {kind}" if kind else f"it has no {ADAPTER_CONFIG} with {ADAPTER_FILE}",
            "give the folder of an adapter in PEFT's format, or `${training.NAME.adapter}`",
        )
    return found
