"""When a training has learnt what it can: its history alone says so, so that one that goes on from a checkpoint agrees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mlctl.types.jobs.recipe import EarlyStopping


def best_epoch(history: Sequence[Mapping[str, float]], min_delta: float) -> int | None:
    """The index of the last epoch that lowered the validation loss by `min_delta`; None before the first."""
    best, lowest = None, float("inf")
    for index, line in enumerate(history):
        if line["val_loss"] < lowest - min_delta:
            best, lowest = index, line["val_loss"]
    return best


def is_over(history: Sequence[Mapping[str, float]], asked: EarlyStopping | None) -> bool:
    """Whether the validation loss has not fallen for as many epochs as are waited for."""
    if asked is None:
        return False
    best = best_epoch(history, asked.min_delta)
    return best is not None and len(history) - 1 - best >= asked.patience


def kept_epoch(history: Sequence[Mapping[str, float]], asked: EarlyStopping | None) -> Mapping[str, float]:
    """The epoch whose weights are kept: the best where the training may stop early, else the last."""
    best = None if asked is None else best_epoch(history, asked.min_delta)
    return history[-1 if best is None else best]
