from __future__ import annotations

import pytest

from mlctl.runtime.trainer.plan import Steps


@pytest.mark.parametrize(
    ("rows", "batch", "world"), [(100, 32, 1), (100, 32, 3), (7, 32, 2), (64, 32, 2), (65, 32, 1), (97, 32, 2)]
)
def test_the_parts_of_all_ranks_make_up_the_batch(rows: int, batch: int, world: int) -> None:
    steps = Steps(rows, batch, 2, world)
    seen: list[int] = []
    for step in range(steps.per_epoch):
        parts = [steps.bounds(step, rank) for rank in range(world)]
        assert sum(last - first for first, last, _ in parts) == parts[0][2]
        assert all(last > first for first, last, _ in parts)
        for first, last, _ in parts:
            seen += range(first, last)
    assert seen == list(range(len(seen)))
    assert rows - len(seen) < 2 * world  # only a rest too small to share is left out


def test_all_epochs_have_the_same_bounds() -> None:
    steps = Steps(100, 32, 3, 2)
    assert steps.total == 12
    assert steps.bounds(1, 1) == steps.bounds(1 + steps.per_epoch, 1)
    assert [step for step in range(steps.total) if steps.ends_epoch(step)] == [3, 7, 11]


@pytest.mark.parametrize(
    ("every", "expected"),
    [("5 steps", [4, 9, 11]), ("1 epochs", [3, 7, 11]), ("2 epochs", [7, 11]), ("100 steps", [11])],
)
def test_checkpoints_are_due_at_their_interval_and_at_the_end(every: str, expected: list[int]) -> None:
    steps = Steps(100, 32, 3, 2)
    assert [step for step in range(steps.total) if steps.saves_after(step, every)] == expected


def test_a_limit_ends_the_last_epoch_early() -> None:
    steps = Steps(100, 32, 3, 2, most=6)
    assert steps.total == 6
    assert [step for step in range(steps.total) if steps.ends_epoch(step)] == [3, 5]
    assert Steps(100, 32, 3, 2, most=100).total == 12


def test_minutes_are_for_a_clock_to_tell() -> None:
    steps = Steps(100, 32, 3, 2)
    assert [step for step in range(steps.total) if steps.saves_after(step, "1 minutes")] == [11]
