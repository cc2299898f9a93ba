"""Language models by Transformers' Trainer: the same steps whatever the strategy, and nothing lost by a stop. See hf_ranks.py."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.runtime.trainer.progress import read_curve
from tests.integration.training import language

pytestmark = pytest.mark.tools

TRAIN, VALIDATION = 30, 7
LORA = {"type": "lora", "r": 4, "alpha": 8.0, "dropout": 0.1, "target": "all-linear"}
ADAMW = {"type": "adamw", "lr": 1e-2, "schedule": "cosine", "warmup_steps": 2, "max_grad_norm": 1.0}
GALORE = {"type": "galore", "rank": 8, "update_every": 3, "scale": 1.0, "target": ["attn", "mlp"]}
ALONE: dict[str, dict[str, Any]] = {
    "full": {},
    "lora": {"method": LORA, "precision": "bf16", "checkpoint": {"every": "2 steps", "keep": 2, "background": True}},
    "dora": {"method": {**LORA, "type": "dora"}},
    "qlora": {"method": {**LORA, "type": "qlora", "quantization": "nf4"}},
    "int8": {"method": {**LORA, "type": "qlora", "quantization": "int8"}},
    "galore": {"method": GALORE},
    "adamw_8bit": {"optimizer": {**ADAMW, "type": "adamw_8bit"}},
    "adafactor": {"optimizer": {**ADAMW, "type": "adafactor"}, "memory": {"gradient_checkpointing": True}},
    "early": {"epochs": 4, "early_stopping": {"patience": 1, "min_delta": 10.0}},
}
TOGETHER: dict[str, dict[str, Any]] = {
    "ddp": {"layout": {"strategy": "ddp", "data": 2}},
    "zero1": {"layout": {"strategy": "zero1", "data": 2}},
    "zero2": {"layout": {"strategy": "zero2", "data": 2}},
    "zero3": {"layout": {"strategy": "zero3", "data": 2}},
}
ADAPTED: dict[str, dict[str, Any]] = {
    "ddp-qlora": {"layout": {"strategy": "ddp", "data": 2}, "method": ALONE["qlora"]["method"]},
    "zero2-qlora": {"layout": {"strategy": "zero2", "data": 2}, "method": ALONE["qlora"]["method"]},
    "zero3-lora": {"layout": {"strategy": "zero3", "data": 2}, "method": LORA, "precision": "bf16"},
}


class Jobs:
    """Folders of plans over one tiny model and one text."""

    def __init__(self, root: Path) -> None:
        self.root, self.base, self.rows = root, language.make_base(root / "base"), root / "rows"
        found = language.packed(language.documents(3 * (TRAIN + VALIDATION)), 3)
        language.write_rows(self.rows, found)

    def plan(self, name: str, **changes: Any) -> Path:
        recipe = {
            "layout": {"strategy": "single"},
            "engine": "hf",
            "micro_batch_size": 2,
            "optimizer": ADAMW,
            "checkpoint": {"every": "1 epochs", "keep": 2},
            **changes,
        }
        layout = recipe.pop("layout")
        return language.make_plan(self.root / name, self.rows, self.base, TRAIN, VALIDATION, layout, **recipe)

    def train(self, processes: int, *folders: Path) -> None:
        language.run(processes, "tests.integration.training.hf_ranks", *map(str, folders))

    def train_and_cut(self, processes: int, cases: dict[str, dict[str, Any]], *more: Path) -> None:
        """Each in one go, and again with a stop of the last rank after three steps, from which it then goes on."""
        folders = list(more)
        for name, changes in cases.items():
            whole, cut = self.plan(name, **changes), self.plan(f"{name}-cut", **changes)
            (cut / f"stop-{processes - 1}").write_text("3")
            folders += [whole, cut]
        self.train(processes, *folders)
        cuts = [self.root / f"{name}-cut" for name in cases]
        for cut in cuts:
            shutil.copy(cut / "told-0.json", cut / "told-stopped.json")
        self.train(processes, *cuts)

    def told(self, name: str, of: str = "0") -> dict[str, Any]:
        told: dict[str, Any] = json.loads((self.root / name / f"told-{of}.json").read_bytes())
        assert told["status"] != "failed", told
        return told

    def refused(self, name: str) -> str:
        told: dict[str, Any] = json.loads((self.root / name / "told-0.json").read_bytes())
        assert told["status"] == "failed", told
        return f"{told['type']}: {told['message']}"

    def losses(self, name: str) -> np.ndarray:
        curve = read_curve(self.root / name)
        assert curve["step"].tolist() == list(range(1, len(curve) + 1))
        return np.array(curve["loss"])

    def weights(self, name: str) -> dict[str, bytes]:
        return {path.name: path.read_bytes() for path in (self.root / name / "weights").iterdir()}


@pytest.fixture(scope="module")
def jobs(tmp_path_factory: pytest.TempPathFactory) -> Jobs:
    return Jobs(tmp_path_factory.mktemp("hf"))


@pytest.fixture(scope="module")
def alone(jobs: Jobs) -> Jobs:
    """What one process trains, and what it refuses."""
    unknown = {**LORA, "target": ["queries"]}
    for name in ("full", "dora", "early"):
        (jobs.root / name).mkdir()
        (jobs.root / name / "reload").touch()
    more = [
        jobs.plan("own-engine", engine="torch"),
        jobs.plan("whole-batch", micro_batch_size=None),
        jobs.plan("five-steps", max_steps=5),
        jobs.plan("infinite", optimizer={"type": "sgd", "lr": 1e30}, checkpoint={"every": "1 steps", "keep": 2}),
        jobs.plan("unknown-target", method=unknown),
        jobs.plan("half", precision="fp16"),
        jobs.plan("offloaded", memory={"offload": ["activations"]}),
        jobs.plan("tensor", layout={"strategy": "tensor", "tensor": 2}),
    ]
    foreign = jobs.plan("foreign-tokens")
    plan = json.loads((foreign / "ranks.json").read_bytes())
    plan["data"]["pad_token"] = language.VOCABULARY
    (foreign / "ranks.json").write_text(json.dumps(plan))
    jobs.train_and_cut(1, ALONE, *more, foreign)
    for name in ("early", "five-steps"):  # as if killed before the weights were written
        (jobs.root / name / "weights").rename(jobs.root / name / "weights-before")
    jobs.train(1, jobs.root / "early", jobs.root / "five-steps")
    return jobs


@pytest.fixture(scope="module")
def together(jobs: Jobs) -> Jobs:
    """What two processes train."""
    jobs.train_and_cut(2, TOGETHER)
    return jobs


@pytest.fixture(scope="module")
def adapted(jobs: Jobs) -> Jobs:
    """Adapters that two processes train."""
    jobs.train_and_cut(2, ADAPTED)
    return jobs


def test_parts() -> None:
    language.run(1, "tests.integration.training.check_hf")


@pytest.mark.parametrize("name", ["whole-batch", "own-engine"])
def test_micro_batches_and_engines_take_the_same_steps(alone: Jobs, name: str) -> None:
    assert np.abs(alone.losses(name) - alone.losses("full")).max() < 2e-5
    assert abs(alone.told(name)["history"][-1]["val_loss"] - alone.told("full")["history"][-1]["val_loss"]) < 2e-5


@pytest.mark.parametrize("name", ["ddp", "zero1", "zero2", "zero3"])
def test_each_strategy_takes_the_steps_of_one_process(alone: Jobs, together: Jobs, name: str) -> None:
    assert np.abs(together.losses(name) - alone.losses("full")).max() < 2e-5
    found, wanted = together.told(name), alone.told("full")
    assert abs(found["history"][-1]["val_loss"] - wanted["history"][-1]["val_loss"]) < 2e-5
    assert [found["step"], found["trainable"]] == [wanted["step"], wanted["trainable"]]


@pytest.mark.parametrize(("name", "shares"), [("ddp", (1, 1)), ("zero1", (1, 2)), ("zero2", (1, 2)), ("zero3", (2, 2))])
def test_each_process_holds_its_share(alone: Jobs, together: Jobs, name: str, shares: tuple[int, int]) -> None:
    whole = alone.told("full")["held"]
    for rank in ("0", "1"):
        held = together.told(name, rank)["held"]
        assert held["parameters"] < whole["parameters"] / shares[0] * 1.01
        assert held["optimizer"] < whole["optimizer"] / shares[1] * 1.01


@pytest.mark.parametrize("name", [name for name in ALONE if name != "early"])
def test_every_method_learns(alone: Jobs, name: str) -> None:
    told, losses = alone.told(name), alone.losses(name)
    assert told["status"] == "done"
    assert losses[-1] < losses[0] - 0.02
    adapters = ALONE[name].get("method", {}).get("type") in ("lora", "dora", "qlora")
    assert (told["trainable"] < 0.2 * told["parameters"]) == adapters
    kept = {"adapter_config.json", "adapter_model.safetensors"} if adapters else {"model.safetensors"}
    assert alone.weights(name).keys() == kept


@pytest.mark.parametrize("name", [*ALONE, *TOGETHER])
def test_a_stopped_training_goes_on_as_if_it_had_not_been(alone: Jobs, together: Jobs, name: str) -> None:
    _goes_on(alone, name)


@pytest.mark.soak
@pytest.mark.parametrize("name", ADAPTED)
def test_adapters_of_several_processes_go_on_too(jobs: Jobs, adapted: Jobs, name: str) -> None:
    _goes_on(jobs, name)


def _goes_on(jobs: Jobs, name: str) -> None:
    stopped = jobs.told(f"{name}-cut", "stopped")
    assert (stopped["status"], stopped["step"]) == ("preempted", 3)
    whole, cut = jobs.told(name), jobs.told(f"{name}-cut")
    assert cut["status"] == whole["status"]
    assert jobs.losses(f"{name}-cut").tolist() == jobs.losses(name).tolist()
    losses = [[line["train_loss"], line["val_loss"]] for line in whole["history"]]
    assert [[line["train_loss"], line["val_loss"]] for line in cut["history"]] == losses
    assert jobs.weights(f"{name}-cut") == jobs.weights(name)


@pytest.mark.parametrize("name", ["full", "dora"])
def test_what_is_left_is_what_was_validated(alone: Jobs, name: str) -> None:
    loss = float((alone.root / name / "reload").read_text())
    assert abs(loss - alone.told(name)["history"][-1]["val_loss"]) < 2e-5
    if name == "dora":  # the folder of the base is another one where the adapter is used
        assert json.loads(alone.weights(name)["adapter_config.json"])["base_model_name_or_path"] == str(alone.base)


def test_an_early_stop_keeps_the_best_epoch(alone: Jobs) -> None:
    told = alone.told("early")
    assert (told["status"], told["step"], told["total"]) == ("stopped_early", 8, 16)
    best, last = (line["val_loss"] for line in told["history"])
    assert abs(float((alone.root / "early" / "reload").read_text()) - best) < 2e-5 < abs(best - last)


def test_max_steps_ends_within_an_epoch(alone: Jobs) -> None:
    told = alone.told("five-steps")
    assert (told["step"], told["total"], len(told["history"])) == (5, 5, 2)
    assert len(alone.losses("five-steps")) == 5


@pytest.mark.parametrize("name", ["early", "five-steps"])
def test_one_that_goes_on_from_its_last_checkpoint_takes_no_step_more(alone: Jobs, name: str) -> None:
    before = {path.name: path.read_bytes() for path in (alone.root / name / "weights-before").iterdir()}
    assert alone.weights(name) == before


def test_numbers_out_of_bounds_end_it_and_are_not_saved(alone: Jobs) -> None:
    said = alone.refused("infinite")
    assert said.startswith("FloatingPointError")
    assert "optimizer.lr" in said
    saved = sorted(path.name for path in (alone.root / "infinite" / "checkpoints").glob("step-*.json"))
    assert all(int(name[5:15]) < int(said.split(" at step ")[1].split(";")[0]) for name in saved)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("unknown-target", "its linear layers are down_proj, gate_proj, k_proj"),
        ("foreign-tokens", f"the base knows tokens up to {language.VOCABULARY - 1}"),
        ("half", "a CPU cannot train in fp16"),
        ("offloaded", "`memory.offload` has no effect here"),
        ("tensor", "has no strategy `tensor`"),
    ],
)
def test_what_cannot_be_done_is_said(alone: Jobs, name: str, told: str) -> None:
    assert told in alone.refused(name)


def test_parts_of_an_optimizer_are_not_taken_over_by_another_number_of_processes(together: Jobs) -> None:
    folder = together.plan("zero2-alone", layout={"strategy": "zero2", "data": 1})
    shutil.copytree(together.root / "zero2-cut" / "checkpoints", folder / "checkpoints")
    ddp = together.plan("ddp-alone", layout={"strategy": "ddp", "data": 1})
    shutil.copytree(together.root / "ddp" / "checkpoints", ddp / "checkpoints")
    shutil.rmtree(ddp / "checkpoints" / "step-0000000008")
    together.train(1, folder, ddp)
    assert "saved by 2 processes of `zero2`" in together.refused("zero2-alone")
    assert (
        abs(together.told("ddp-alone")["history"][-1]["val_loss"] - together.told("ddp")["history"][-1]["val_loss"])
        < 2e-5
    )


@pytest.mark.soak
@pytest.mark.parametrize(("strategy", "number"), [("zero2", signal.SIGTERM), ("ddp", signal.SIGKILL)])
def test_the_real_ranks_lose_nothing_to_a_signal(jobs: Jobs, strategy: str, number: signal.Signals) -> None:
    changes = {"layout": {"strategy": strategy, "data": 2}, "epochs": 12, "checkpoint": {"every": "5 steps", "keep": 2}}
    reference, folder = jobs.plan(f"{strategy}-calm", **changes), jobs.plan(f"{strategy}-struck", **changes)
    jobs.train(2, reference)
    with _worker(folder) as ranks:
        _wait_for(folder, '"saved"')
        if number == signal.SIGTERM:
            ranks.send_signal(number)  # as an executor does; torchrun hands it on
        else:
            _kill_a_rank(ranks)
        ranks.wait(120)
    if number == signal.SIGTERM:
        assert json.loads((folder / "ranks-ended.json").read_bytes())["status"] == "preempted"
    before = len(jobs.losses(folder.name))
    assert before < 48
    with _worker(folder) as ranks:
        assert ranks.wait(240) == 0
    assert json.loads((folder / "ranks-ended.json").read_bytes())["status"] == "done"
    assert jobs.losses(folder.name).tolist() == jobs.losses(reference.name).tolist()
    assert jobs.weights(folder.name) == jobs.weights(reference.name)


def _worker(folder: Path) -> subprocess.Popen[bytes]:
    program = language.command(2, "-m", "mlctl.runtime.trainer.worker", str(folder))
    return subprocess.Popen(program, env=language.environment(), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def _wait_for(folder: Path, text: str) -> None:
    path, deadline = folder / "ranks.jsonl", time.monotonic() + 240
    while not path.exists() or text not in path.read_text():
        assert time.monotonic() < deadline, "the ranks did not start"
        time.sleep(0.01)


def _kill_a_rank(agent: subprocess.Popen[bytes]) -> None:
    import psutil

    ranks = [
        found
        for found in psutil.Process(agent.pid).children(recursive=True)
        if "--multiprocessing-fork" not in found.cmdline()
    ]
    max(ranks, key=lambda found: found.memory_info().rss).kill()
