"""A language model built like Llama, whole or one pipeline stage of it, that gives its own loss.

Names of weights are those of Transformers. Tensors: input_ids, position_ids, labels (rows, length); hidden (rows, length, width).
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from mlctl.runtime.trainer.torch_engine.optimizers import local
from mlctl.runtime.trainer.torch_engine.states import part_of
from mlctl.types.jobs.recipe import Layout
from mlctl.types.jobs.transformer import parallel_problems

IGNORED = -100  # a label that does not count
_LOGITS = 1 << 25  # elements of logits that are held at once


class LanguageModel(nn.Module):  # type: ignore[misc]
    """The children of a Transformers model under their own names; `forward` gives the sum of losses over foretold tokens.

    As a pipeline stage it holds some of them: the first turns tokens into hidden values, the last turns those into the loss.
    """

    def __init__(self, network: Any) -> None:
        super().__init__()
        self.config = network.config
        self.config.use_cache = False  # with a cache, packed documents would see each other
        self.model = network.model
        self.lm_head = network.lm_head
        self.first = self.last = True
        self.autocast: torch.dtype | None = None  # what is computed with, where that is not what weights are kept in
        self._pad = self.model.embed_tokens.padding_idx
        self.model.embed_tokens.padding_idx = None  # does not hold for a part of the vocabulary, so `_embed` sees to it

    def forward(self, x: torch.Tensor, position_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """From tokens, or the hidden values of the stage before, to the sum of losses (1,), or the hidden values of this stage.

        No attention mask is given: where positions start again at 0 a new document begins, and Transformers sees to it that
        none looks into another.
        """
        with torch.autocast(x.device.type, self.autocast) if self.autocast is not None else nullcontext():
            hidden = self._embed(x) if self.first else x
            hidden = self.model(inputs_embeds=hidden, position_ids=position_ids, use_cache=False).last_hidden_state
            return self._loss(hidden, position_ids, labels).reshape(1) if self.last else hidden

    def _embed(self, tokens: torch.Tensor) -> torch.Tensor:
        """Rows of the embedding; that of the padding token is not trained here, as Transformers has it."""
        hidden: torch.Tensor = self.model.embed_tokens(tokens)
        return hidden if self._pad is None else torch.where((tokens == self._pad)[..., None], hidden.detach(), hidden)

    def _loss(self, hidden: torch.Tensor, position_ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
        """Each position foretells the token after it, in the same document. Logits are made only where a label counts."""
        counts = (labels[:, 1:] != IGNORED) & (position_ids[:, 1:] > 0)
        if not counts.any():
            return self._cross_entropy(hidden[:, :1].flatten(0, 1), labels.new_full((len(labels),), IGNORED))
        states, tokens = hidden[:, :-1][counts], labels[:, 1:][counts]
        size = max(1, _LOGITS // self.config.vocab_size)
        if len(tokens) <= size:
            return self._cross_entropy(states, tokens)
        parts = [  # logits of one part at a time, made again for its gradient
            checkpoint(self._cross_entropy, some, wanted, use_reentrant=False)
            for some, wanted in zip(states.split(size), tokens.split(size), strict=True)
        ]
        return torch.stack(parts).sum()

    def _cross_entropy(self, states: torch.Tensor, tokens: torch.Tensor) -> torch.Tensor:
        return functional.cross_entropy(self.lm_head(states).float(), tokens, ignore_index=IGNORED, reduction="sum")


class Elsewhere(nn.Module):  # type: ignore[misc]
    """Stands for a layer that another pipeline stage holds, so that the others keep their numbers."""

    def forward(self, hidden: torch.Tensor, *_: Any, **__: Any) -> torch.Tensor:
        """Leave the hidden values as they are."""
        return hidden


def check(base: Path, layout: Layout) -> None:
    """Raise ValueError when the base model cannot be trained in this layout."""
    problems = parallel_problems(json.loads((base / "config.json").read_bytes()), layout)
    if problems:
        raise ValueError("; ".join(f"{what}: {why}; {fix}" for what, why, fix in problems))


def load(base: Path) -> LanguageModel:
    """The whole model with its weights in float32, on the CPU."""
    from transformers import AutoModelForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    return LanguageModel(AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, local_files_only=True))


def empty(base: Path) -> LanguageModel:
    """The whole model without memory for its weights."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(base, local_files_only=True)
    with torch.device("meta"):
        return LanguageModel(AutoModelForCausalLM.from_config(config, dtype=torch.float32))


def fill(module: LanguageModel, base: Path, device: torch.device) -> None:
    """Give an empty model, or a part of one, its memory and weights. Of the files only what this rank holds is kept."""
    rotary = module.model.rotary_emb
    module.to_empty(device=device)
    if module.first and module.last and module.config.tie_word_embeddings:
        module.lm_head.weight = module.model.embed_tokens.weight
    module.model.rotary_emb = type(rotary)(config=module.config).to(device)  # its values are computed, not stored
    missing = dict(module.named_parameters())
    with torch.no_grad():
        for name, stored in _stored(base, set(missing)):
            held = missing.pop(name)
            local(held).copy_(local(part_of(stored, held)))
    if missing:
        raise ValueError(f"the files of the base model {base} have no weights `{'`, `'.join(sorted(missing))}`")


def _stored(base: Path, names: set[str]) -> Iterator[tuple[str, torch.Tensor]]:
    """The weights of these names in a model's safetensors, one at a time."""
    from safetensors import safe_open

    for file in sorted(base.glob("*.safetensors")):
        with safe_open(file, framework="pt") as content:
            for name in names.intersection(content.keys()):
                yield name, content.get_tensor(name)
