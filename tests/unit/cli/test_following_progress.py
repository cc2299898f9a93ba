from __future__ import annotations

import json
from pathlib import Path

import pytest

from mlctl.cli import following_progress
from mlctl.cli.following_progress import ProgressLines
from mlctl.types.address import Address

ADDRESS = Address("training", "a")


def write(path: Path, message: str, done: float | None = None, *, end: str = "\n") -> None:
    line = {"type": "progress", "message": message, "done": done, "total": done and 100, "unit": "steps", "metrics": {}}
    with open(path, "a") as stream:
        stream.write(json.dumps(line) + end)


def test_what_was_told_before_is_told_once_as_many_lines_as_are_wanted(tmp_path: Path) -> None:
    events = tmp_path / "events.jsonl"
    assert ProgressLines(events, ADDRESS).before(3) == []
    write(events, "joining")
    write(events, "epoch 1", 10)
    write(events, "epoch 2", 20)
    assert ProgressLines(events, ADDRESS).before(0) == ["joining", "epoch 1, 10% (10 of 100 steps)", "epoch 2, 20% (20 of 100 steps)"]  # fmt: skip
    progress = ProgressLines(events, ADDRESS)
    assert progress.before(1) == ["epoch 2, 20% (20 of 100 steps)"]
    assert list(progress.news()) == []
    write(events, "saved a checkpoint")
    assert list(progress.news()) == ["saved a checkpoint"]


def test_one_kind_of_line_is_told_every_few_seconds_and_a_new_kind_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(following_progress.time, "monotonic", lambda: now[0])
    events = tmp_path / "events.jsonl"
    progress = ProgressLines(events, ADDRESS)
    write(events, "epoch 1", 10)
    assert len(list(progress.news())) == 1
    now[0] = 101.5
    write(events, "epoch 1", 20)
    assert list(progress.news()) == []
    write(events, "saved a checkpoint", 20)
    write(events, "epoch 1", 30)
    assert list(progress.news()) == ["saved a checkpoint, 20% (20 of 100 steps), 12 s left", "epoch 1, 30% (30 of 100 steps), 5.2 s left"]  # fmt: skip
    now[0] = 104.0
    write(events, "epoch 1", 40, end="")  # not whole yet
    assert list(progress.news()) == []
