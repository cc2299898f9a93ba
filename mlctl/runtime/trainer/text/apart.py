"""Whether a model keeps packed documents apart. One that does not learns from what it should not see, and nothing else shows it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from mlctl.types.diagnostic import MlctlError

_TOKENS = 12  # of each of two documents
_VOCABULARY = 64
# Kernels sum in another order, which moves logits by a millionth of their spread; a leak moves them by a hundredth at least.
_TOLERANCE = 1e-3


def check_packing(base: Path) -> None:
    """Try a model of this architecture with random weights and one layer of each kind: raises MlctlError when a document in a row
    does not get the logits that it gets by itself."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(base), local_files_only=True).get_text_config()
    drawn = torch.random.get_rng_state()
    try:
        torch.manual_seed(0)
        module = AutoModelForCausalLM.from_config(_small(config), dtype=torch.float32)
    finally:
        torch.random.set_rng_state(drawn)
    found = packing_error(module)
    if not found <= _TOLERANCE:
        raise MlctlError.of(
            "training.packing-leaks",
            f"a model of the type `{config.model_type}` does not keep packed documents apart",
            f"the logits of a document change by {found:.2g} of their spread when another stands before it in the row",
            "set `data.packing: false`",
        )


def packing_error(module: Any) -> float:
    """The largest difference between logits of a packed document and of the same by itself, as a share of their spread."""
    draw = torch.Generator().manual_seed(0)
    vocabulary = min(int(module.config.get_text_config().vocab_size), _VOCABULARY)
    both = torch.randint(0, vocabulary, (1, 2 * _TOKENS), generator=draw)
    places = torch.arange(_TOKENS).repeat(2)[None]
    module.eval()
    with torch.inference_mode():
        packed = module(input_ids=both, position_ids=places, use_cache=False).logits[0, _TOKENS:].float()
        alone = module(input_ids=both[:, _TOKENS:], use_cache=False).logits[0].float()
    return float((packed - alone).abs().max() / alone.std().clamp_min(1e-12))


def _small(config: Any) -> Any:
    """The same architecture with few tokens and layers. Ids of special tokens may lie outside of so few."""
    changed: dict[str, Any] = {"vocab_size": _VOCABULARY, "num_hidden_layers": 1}
    changed |= dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id"))
    kinds = getattr(config, "layer_types", None)
    if kinds:
        one_each = list(dict.fromkeys(kinds))
        changed |= {"layer_types": one_each, "num_hidden_layers": len(one_each)}
    known = config.to_dict()
    return type(config)(**{**known, **{name: value for name, value in changed.items() if name in known}})
