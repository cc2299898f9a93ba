"""For how long a training that is not done had its devices: over all lives of its job, and nothing of it twice."""

from __future__ import annotations

import json
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from mlctl.provider import Context
from mlctl.providers.torch import costs, taken
from mlctl.providers.torch.spec import TrainingSpec
from mlctl.providers.torch.training import Training
from mlctl.testing.harness import make_desired
from mlctl.types import job as contract
from mlctl.types.estimate import Limit
from mlctl.types.jobs.executors import PLACED_FILE
from tests.unit.providers.torch.trainings import TABLE, foreseen, rows

BEGUN = 1_790_000_000.0
SLURM = {"type": "slurm", "gpus_per_node": 1}


def life(folder: Path, begun: float, seconds: float) -> None:
    """A program that was started, wrote for so long, and is gone."""
    for name, at in ((contract.JOB_FILE, begun), (contract.LOG_FILE, begun + seconds)):
        (folder / name).write_text("{}")
        os.utime(folder / name, (at, at))


def told(folder: Path, *lines: dict[str, Any]) -> None:
    (folder / "ranks.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines) + '{"type": "st')


def test_each_life_counts_once_however_often_it_is_noted(tmp_path: Path) -> None:
    assert taken.seconds(tmp_path) == 0.0
    life(tmp_path, BEGUN, 599.96)
    assert taken.seconds(tmp_path) == pytest.approx(599.96)
    for _ in range(3):
        taken.note(tmp_path)
    assert taken.seconds(tmp_path) == pytest.approx(600.0)
    life(tmp_path, BEGUN, 200.0)  # its last sign is gone, and what was noted of it stays
    assert taken.seconds(tmp_path) == pytest.approx(600.0)
    life(tmp_path, BEGUN + 5000, 300.0)
    assert (taken.seconds(tmp_path), taken.before(tmp_path)) == (pytest.approx(900.0), pytest.approx(600.0))
    life(tmp_path, BEGUN + 5000, 400.0)  # the same one, a little later
    taken.note(tmp_path)
    assert taken.seconds(tmp_path) == pytest.approx(1000.0)


def test_where_others_have_the_devices_their_steps_count_and_no_waiting(tmp_path: Path) -> None:
    life(tmp_path, BEGUN, 90_000.0)
    assert taken.seconds(tmp_path, 32) == 0.0
    step = {"type": "step", "step": 30, "rows_per_second": 16.0}
    told(tmp_path, {"type": "resumed", "step": 10}, step, {"type": "epoch", "step": 40, "seconds": 75.0})
    assert taken.seconds(tmp_path, 32) == pytest.approx(75.0)
    told(tmp_path, {"type": "epoch", "step": 40, "seconds": 75.0}, {**step, "step": 50})
    assert taken.seconds(tmp_path, 32) == pytest.approx(75.0 + 10 * 32 / 16)
    taken.note(tmp_path, 32)
    (tmp_path / "ranks.jsonl").unlink()
    (tmp_path / "other").write_text("takes the place of the file that is gone")
    told(tmp_path, {**step, "step": 5})
    assert taken.seconds(tmp_path, 32) == pytest.approx(95.0 + 10.0)


def test_the_estimate_of_what_is_gone_on_with_says_what_it_took_and_its_limit_is_shorter(ctx: Context) -> None:
    limited = replace(ctx, settings={"budget": {"max_hours": 1.0}})
    fresh = foreseen(limited, TABLE)
    assert (fresh.taken, fresh.limit) == (0.0, Limit(3600.0, "max_hours", carried=False))
    folder = limited.folder(make_desired(Training(), "training.m", TABLE, limited, rows()).key)
    folder.mkdir(parents=True)
    life(folder, BEGUN, 600.0)
    again = foreseen(limited, TABLE)
    assert again.limit is not None
    assert (again.taken, again.limit.seconds) == (pytest.approx(600.0), pytest.approx(3000.0))
    assert "it has had its devices for 10 min already, which the budget counts" in again.notes
    assert again.seconds is not None
    assert again.whole.seconds is not None
    assert again.whole.seconds.mid == pytest.approx(again.seconds.mid + 600.0)
    assert foreseen(ctx, TABLE).notes == ()  # nobody counts


def test_what_may_still_be_at_work_elsewhere_keeps_the_limit_it_was_started_with(tmp_path: Path) -> None:
    limit = Limit(3600.0, "max_hours", carried=True)
    life(tmp_path, BEGUN, 600.0)
    assert costs.bounded(limit, 600.0, tmp_path) == replace(limit, seconds=3000.0)
    (tmp_path / PLACED_FILE).write_text("{}")
    assert costs.bounded(limit, 600.0, tmp_path) == limit
    assert costs.bounded(limit, 4000.0, tmp_path / "gone") == replace(limit, seconds=0.0)
    spec = TrainingSpec.model_validate({**TABLE, "executor": SLURM})
    assert costs.carries(spec)
    assert costs.taken_by(spec, tmp_path) == 0.0  # no step was told of
