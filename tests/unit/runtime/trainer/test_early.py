from __future__ import annotations

import pytest

from mlctl.runtime.trainer.early import best_epoch, is_over, kept_epoch
from mlctl.types.jobs.recipe import EarlyStopping


def history(*losses: float) -> list[dict[str, float]]:
    return [{"val_loss": loss} for loss in losses]


@pytest.mark.parametrize(
    ("losses", "min_delta", "best"),
    [((), 0.0, None), ((3, 2, 1), 0.0, 2), ((3, 1, 2), 0.0, 1), ((1, 1, 1), 0.0, 0), ((3, 2.95, 2.85), 0.1, 2)],
)
def test_the_best_epoch_is_the_last_that_helped(losses: tuple[float, ...], min_delta: float, best: int | None) -> None:
    assert best_epoch(history(*losses), min_delta) == best


def test_it_is_over_after_as_many_epochs_without_a_lower_loss() -> None:
    asked = EarlyStopping(patience=2)
    assert not is_over(history(), asked)
    assert not is_over(history(3, 2, 2.5), asked)
    assert is_over(history(3, 2, 2.5, 2), asked)
    assert not is_over(history(3, 2, 2.5, 1.9), asked)
    assert not is_over(history(3, 4, 5, 6), None)


def test_the_weights_that_are_kept_are_judged_by_their_own_epoch() -> None:
    losses = history(3, 1, 2)
    assert kept_epoch(losses, None)["val_loss"] == 2
    assert kept_epoch(losses, EarlyStopping(patience=1))["val_loss"] == 1
    assert kept_epoch(losses, EarlyStopping(patience=1, min_delta=10))["val_loss"] == 3
