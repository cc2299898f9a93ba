from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.trainer import devices, progress
from mlctl.runtime.trainer.plan import PROGRESS_FILE
from mlctl.runtime.trainer.progress import CURVE_FILE, ProgressWriter, read_curve


class Held:
    parameters, optimizer = 10, 20


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / PROGRESS_FILE).read_text().splitlines()]


def steps(folder: Path, first: int, last: int) -> None:
    writer = ProgressWriter(folder, "rows")
    for step in range(first, last + 1):
        writer.step(1, step, 100, loss=1 / step, lr=0.1, rows=8)
    writer.close()


def test_the_curve_holds_every_step_though_few_are_told(tmp_path: Path) -> None:
    steps(tmp_path, 1, 40)
    curve = read_curve(tmp_path)
    assert curve["step"].tolist() == list(range(1, 41))
    assert curve["loss"][39] == 1 / 40
    assert math.isnan(curve["grad_norm"][0])
    assert not (tmp_path / PROGRESS_FILE).exists()  # half a second has not passed


def test_a_training_that_goes_on_from_a_checkpoint_cuts_the_curve_to_it(tmp_path: Path) -> None:
    steps(tmp_path, 1, 40)
    with open(tmp_path / CURVE_FILE, "ab") as stream:
        stream.write(b"torn by a full disk")
    assert len(read_curve(tmp_path)) == 40
    steps(tmp_path, 31, 33)
    assert read_curve(tmp_path)["step"].tolist() == list(range(1, 34))


def test_a_training_that_begins_anew_leaves_nothing_of_an_older_curve(tmp_path: Path) -> None:
    steps(tmp_path, 1, 40)
    steps(tmp_path, 1, 2)
    assert read_curve(tmp_path)["step"].tolist() == [1, 2]


def test_there_is_no_curve_before_the_first_step(tmp_path: Path) -> None:
    assert len(read_curve(tmp_path)) == 0


def test_a_line_tells_the_mean_loss_and_the_speed_since_the_last_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter([0.0, 0.1, 0.5, 0.6, 1.5])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(clock))
    writer = ProgressWriter(tmp_path, "tokens")
    for step, loss in enumerate([4.0, 2.0, 3.0, 1.0], start=1):
        writer.step(1, step, 100, loss=loss, lr=0.1, rows=2, tokens=50, grad_norm=0.5)
    told = lines(tmp_path)
    assert [(line["step"], line["loss"]) for line in told] == [(2, 3.0), (4, 2.0)]
    assert [line["tokens_per_second"] for line in told] == [200.0, 100.0]
    assert [line["rows_per_second"] for line in told] == [8.0, 4.0]
    assert told[0]["grad_norm"] == 0.5
    assert "mfu" not in told[0]  # the peak of a CPU is not known


def test_the_last_step_is_always_told(tmp_path: Path) -> None:
    writer = ProgressWriter(tmp_path, "rows")
    writer.step(1, 100, 100, loss=0.5, lr=0.1, rows=8)
    assert [line["step"] for line in lines(tmp_path)] == [100]


@pytest.mark.parametrize(("trainable", "factor"), [(1000, 6), (10, 4)])
def test_mfu_counts_what_the_method_computes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, trainable: int, factor: int
) -> None:
    monkeypatch.setattr(devices, "peak_flops", lambda precision, ranks: 1e6 * ranks)
    writer = ProgressWriter(tmp_path, "tokens", precision="bf16")
    writer.held(trainable, 1000, [Held(), Held()])  # type: ignore[list-item]
    writer.step(1, 100, 100, loss=0.5, lr=0.1, rows=8, tokens=64)
    held, told = lines(tmp_path)
    assert held["ranks"] == [{"parameters": 10, "optimizer": 20}] * 2
    assert told["mfu"] == pytest.approx(factor * 1000 * told["tokens_per_second"] / 2e6)
