"""The engine `torch` on a small table: what is promised of every way to spread, stop and go on."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.integration.training.ranks import Ranks

pytestmark = pytest.mark.tools

DDP = {"strategy": "ddp", "data": 2}
FSDP = {"strategy": "fsdp", "data": 2}
LONG = {"epochs": 40, "dropout": 0.2, "checkpoint": {"every": "10 steps", "keep": 2}}
ASIDE = {"every": "10 steps", "keep": 2, "background": True}
FP16 = {**LONG, "precision": "fp16", "optimizer": {"type": "sgd", "lr": 0.1, "momentum": 0.9, "max_grad_norm": 1.0}}
# the loss of early stopping falls for a while, and then rises: a model far too large for 200 rows
GREEDY = {"epochs": 60, "optimizer": {"type": "adamw", "lr": 0.02}, "early_stopping": {"patience": 4}}


@pytest.fixture(scope="module")
def single(tmp_path_factory: pytest.TempPathFactory) -> Ranks:
    ranks = Ranks(tmp_path_factory.mktemp("ranks") / "single")
    ranks.run()
    return ranks


@pytest.mark.parametrize(
    ("layout", "more"),
    [
        (DDP, {}),
        ({"strategy": "ddp", "data": 3}, {"micro_batch_size": 3}),
        (FSDP, {}),
        ({"strategy": "fsdp", "data": 3}, {"micro_batch_size": 4}),
        ({"strategy": "single"}, {"micro_batch_size": 7}),
    ],
    ids=["ddp 2", "ddp 3 in parts", "fsdp 2", "fsdp 3 in parts", "single in parts"],
)
def test_the_curve_is_that_of_one_process(tmp_path: Path, single: Ranks, layout: Any, more: dict[str, Any]) -> None:
    ranks = Ranks(tmp_path / "job", layout=layout, **more)
    ranks.run()
    assert ranks.losses() == pytest.approx(single.losses(), abs=1e-5)
    ended, alone = ranks.ended(), single.ended()
    assert ended is not None
    assert alone is not None
    assert [line["val_loss"] for line in ended["history"]] == pytest.approx(
        [line["val_loss"] for line in alone["history"]], abs=1e-5
    )
    shares = layout["data"] if layout["strategy"] == "fsdp" else 1
    assert len(ended["held"]) == layout.get("data", 1)
    for held in ended["held"]:  # 385 parameters; a rank holds whole rows of each
        assert held["parameters"] <= 385 / shares + 40
        assert held["optimizer"] == 2 * held["parameters"] + 6
    assert sum(held["parameters"] for held in ended["held"]) == 385 * layout.get("data", 1) // shares
    assert (ended["trainable"], ended["parameters"]) == (385, 385)


def test_a_rank_that_holds_more_than_its_layout_promises_is_an_error(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path / "job", layout={"strategy": "fsdp", "data": 1})
    dropped = """
from mlctl.runtime.trainer.torch_engine import fsdp
share = fsdp._share
fsdp._share = lambda parameter, world: share(parameter, 2)  # as if two ranks had been promised
"""
    ranks.run(before=dropped, fails=True)
    assert "holds 385 elements of the parameters" in ranks.error()


@pytest.mark.parametrize(
    "recipe",
    [
        pytest.param(LONG, id="single"),
        pytest.param(FP16, id="fp16", marks=pytest.mark.soak),
        pytest.param({**LONG, "checkpoint": ASIDE}, id="in the background", marks=pytest.mark.soak),
        pytest.param({**LONG, "layout": DDP}, id="ddp"),
        pytest.param(
            {**LONG, "layout": FSDP, "checkpoint": ASIDE}, id="fsdp in the background", marks=pytest.mark.soak
        ),
    ],
)
def test_a_training_that_is_killed_and_goes_on_ends_in_the_same_bits(tmp_path: Path, recipe: dict[str, Any]) -> None:
    whole = Ranks(tmp_path / "whole", **recipe)
    cut = whole.copy(tmp_path / "cut")
    whole.run()
    cut.kill_after(50)
    reached = cut.checkpoints()[-1]
    cut.run()
    assert {"type": "resumed", "step": reached, "total": 280} in cut.lines()
    assert cut.losses() == whole.losses()
    assert cut.weights() == whole.weights()


def test_a_stop_saves_all_ranks_at_the_same_step(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path / "job", **{**LONG, "layout": DDP, "epochs": 2000})
    process = ranks.start()
    while not ranks.checkpoints():
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGTERM)
    process.communicate(timeout=60)
    ended = ranks.ended()
    assert ended is not None
    assert ended["status"] == "preempted"
    assert ranks.checkpoints()[-1] == ended["step"]
    assert len(ranks.losses()) == ended["step"]
    assert not (ranks.folder / "weights").exists()


@pytest.mark.soak
@pytest.mark.slow
def test_shared_weights_go_on_with_another_number_of_processes(tmp_path: Path) -> None:
    recipe = {**LONG, "dropout": 0.0, "layout": FSDP}
    whole = Ranks(tmp_path / "whole", **recipe)
    cut = whole.copy(tmp_path / "cut")
    whole.run()
    cut.kill_after(50)
    cut.run(world=1)
    assert cut.losses() == pytest.approx(whole.losses(), abs=1e-4)
    ended = cut.ended()
    assert ended is not None
    assert ended["held"][0]["parameters"] == 385


def test_the_best_epoch_is_kept_also_by_one_that_goes_on(tmp_path: Path) -> None:
    whole = Ranks(tmp_path / "whole", **{**GREEDY, "checkpoint": {"every": "1 epochs", "keep": 1}})
    cut = whole.copy(tmp_path / "cut")
    whole.run()
    ended = whole.ended()
    assert ended is not None
    assert ended["status"] == "stopped_early"
    history = [line["val_loss"] for line in ended["history"]]
    best = history.index(min(history))
    assert len(history) == best + 1 + 4
    short = Ranks(tmp_path / "short", **{**GREEDY, "early_stopping": None, "epochs": best + 1})
    short.run()
    assert whole.weights() == short.weights()
    cut.kill_after(7 * (best + 2))  # after the best epoch, before the end
    cut.run()
    assert cut.weights() == whole.weights()
    whole.run()  # once more, from the last checkpoint: it is over already
    again = whole.ended()
    assert again is not None
    assert again["status"] == "stopped_early"
    assert whole.weights() == short.weights()


def test_a_loss_that_is_not_a_number_stops_and_keeps_what_was_good(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path / "job", optimizer={"type": "sgd", "lr": 1e20}, checkpoint={"every": "1 steps", "keep": 50})
    ranks.run(fails=True)
    assert "became" in ranks.error()
    steps = len(ranks.checkpoints())
    assert (
        f"the checkpoint of step {steps} is kept" in ranks.error() or "no checkpoint was made before" in ranks.error()
    )
    assert not (ranks.folder / "weights").exists()


def test_checkpoints_by_the_clock(tmp_path: Path) -> None:
    ranks = Ranks(tmp_path / "job", **{**LONG, "checkpoint": {"every": "2 minutes", "keep": 100}})
    fast = "import time\nreal, began = time.monotonic, time.monotonic()\ntime.monotonic = lambda: began + 2000 * (real() - began)"
    ranks.run(before=fast)
    steps = ranks.checkpoints()
    assert 2 <= len(steps) < 200
    assert steps[-1] == 280


def test_a_limit_of_steps_ends_in_the_middle_of_an_epoch(tmp_path: Path, single: Ranks) -> None:
    ranks = Ranks(tmp_path / "job", max_steps=10)
    ranks.run()
    ended = ranks.ended()
    assert ended is not None
    assert (ended["status"], ended["step"], ended["total"]) == ("done", 10, 10)
    assert [line["step"] for line in ended["history"]] == [7, 10]
    assert ranks.losses() == single.losses()[:10]


BLOCKS = """
import torch
from torch import nn


class Net(nn.Module):
    def __init__(self, width):
        super().__init__()
        self.first = nn.Linear(width, 16)
        self.blocks = nn.ModuleList([nn.Sequential(nn.Linear(16, 16), nn.Tanh(), nn.Dropout(0.1)) for _ in range(3)])
        self.last = nn.Linear(16, 1)

    def forward(self, x):
        h = self.first(x)
        for block in self.blocks:
            h = h + block(h)
        return self.last(h)


def build(features):
    return Net(len(features))
"""


def test_recomputed_blocks_learn_the_same(tmp_path: Path) -> None:
    plain = Ranks(tmp_path / "plain", BLOCKS)
    plain.run()
    again = Ranks(tmp_path / "again", BLOCKS, memory={"gradient_checkpointing": True})
    again.run()
    assert again.losses() == plain.losses()


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        ({"memory": {"offload": ["activations"]}}, "`memory.offload` has no effect here"),
        (
            {"layout": {"strategy": "fsdp", "data": 1}, "optimizer": {"type": "adafactor", "lr": 0.01}},
            "cannot work on a share",
        ),
        (
            {"optimizer": {"type": "adafactor", "lr": 0.01, "fused": True}},
            "`optimizer.fused` has no effect on `adafactor`",
        ),
    ],
)
def test_what_would_have_no_effect_is_refused(tmp_path: Path, recipe: dict[str, Any], message: str) -> None:
    ranks = Ranks(tmp_path / "job", **recipe)
    ranks.run(fails=True)
    assert message in ranks.error()


@pytest.mark.slow
@pytest.mark.parametrize(
    "optimizer",
    [
        {"type": "adafactor", "lr": 0.02},
        {"type": "adamw_8bit", "lr": 0.01},
        {"type": "adamw", "lr": 0.01, "fused": True, "schedule": "cosine", "warmup_steps": 3},
        {"type": "sgd", "lr": 0.2, "momentum": 0.9, "schedule": "linear"},
    ],
    ids=["adafactor", "8 bits", "fused", "sgd"],
)
def test_every_optimizer_learns_and_goes_on(tmp_path: Path, optimizer: dict[str, Any]) -> None:
    whole = Ranks(tmp_path / "whole", optimizer=optimizer)
    cut = whole.copy(tmp_path / "cut")
    whole.run()
    assert whole.losses()[-1] < whole.losses()[1]
    stop = "from mlctl.runtime.trainer.checkpoint import Checkpoints\nimport os\ncommit = Checkpoints.commit\nCheckpoints.commit = lambda *a: (commit(*a), os._exit(9))"
    cut.run(before=stop, fails=True)
    cut.run()
    assert cut.weights() == whole.weights()


@pytest.mark.soak
@pytest.mark.slow
def test_a_compiled_model_learns_the_same(tmp_path: Path, single: Ranks) -> None:
    compiled = Ranks(tmp_path / "job", memory={"compile": True})
    counted = """
import torch
compile = torch.nn.Module.compile
torch.nn.Module.compile = lambda self, *a, **k: (print("compiled", type(self).__name__), compile(self, *a, **k))[1]
"""
    assert "compiled RawFeatures" in compiled.run(before=counted)
    assert compiled.losses() == pytest.approx(single.losses(), abs=1e-5)
