"""How well a language model foretells rows of tokens."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

from mlctl.runtime.trainer.hf_engine.rows import IGNORED, TokenRows

_TOKENS_AT_ONCE = 2048


def device() -> torch.device:
    """Where models are measured: the GPU where there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def mean_loss(module: Any, tokens: TokenRows, rows: Sequence[int], told: Callable[[int], None] | None = None) -> float:
    """The mean loss over the counted tokens of these rows, of a module that is in the mode to be measured in; `told` is called with
    how many rows are done."""
    total, weight, done = 0.0, 0, 0
    with torch.inference_mode():
        for part in _parts(tokens, rows):
            batch = {name: values.to(module.device) for name, values in tokens.batch(part).items()}
            loss, counted = summed_loss(module, batch)
            total, weight, done = total + loss, weight + counted, done + len(part)
            if told is not None:
                told(done)
    return total / max(weight, 1)


def summed_loss(module: Any, batch: dict[str, torch.Tensor]) -> tuple[float, int]:
    """The sum of losses over the counted tokens of a batch, and their number."""
    labels = batch.pop("labels")[:, 1:]
    logits = module(**batch, use_cache=False).logits[:, :-1]
    counted = labels != IGNORED
    loss = torch.nn.functional.cross_entropy(logits[counted].float(), labels[counted], reduction="sum")
    return float(loss), int(counted.sum())


def some_rows(tokens: TokenRows, most: int) -> list[int]:
    """Validation rows from the first on that have about `most` tokens together, one at least."""
    data = tokens.data
    rows = np.arange(data.train, data.train + data.validation)
    sizes = np.asarray([tokens.tokens(torch.tensor([row])) for row in rows])
    return [int(row) for row in rows[: max(1, int(np.searchsorted(np.cumsum(sizes), most, side="right")))]]


def _parts(tokens: TokenRows, rows: Sequence[int]) -> Iterator[list[int]]:
    """Rows of about one length together, as many as fit into a batch with the padding."""
    sizes = {row: tokens.tokens(torch.tensor([row])) for row in rows}
    part: list[int] = []
    for row in sorted(rows, key=lambda item: (sizes[item], item)):
        if part and sizes[row] * (len(part) + 1) > _TOKENS_AT_ONCE:
            yield part
            part = []
        part.append(row)
    if part:
        yield part
