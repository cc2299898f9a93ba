"""A language model cut into pieces learns what one process learns, holds only its pieces, and goes on after a kill."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest

from mlctl.runtime.trainer.engine import WEIGHTS, WEIGHTS_FILE
from mlctl.runtime.trainer.plan import PROGRESS_FILE
from mlctl.runtime.trainer.progress import read_curve
from mlctl.types.jobs.train import CHECKPOINTS
from tests.integration.training.language import (
    SOURCE_FILE,
    command,
    documents,
    environment,
    make_bases,
    make_plan,
    packed,
    run,
    train,
    write_rows,
)

pytestmark = pytest.mark.tools

TRAIN, VALIDATION, STEPS = 30, 6, 8  # rows, rows, steps in two epochs of batches of 8
SHORT = 5  # steps of a training that another goes on from
ECONOMY = {"memory": {"gradient_checkpointing": True}}
SINGLE = {"strategy": "single"}
TENSOR = {"strategy": "tensor", "tensor": 2}
PIPELINE = {"strategy": "pipeline", "pipeline": 2, "microbatches": 3}
FSDP = {"strategy": "fsdp", "data": 2}
DDP = {"strategy": "ddp", "data": 2}
NO_DATA = {"strategy": "3d", "tensor": 2, "pipeline": 2, "microbatches": 2}
NO_TENSOR = {"strategy": "3d", "data": 2, "pipeline": 2, "microbatches": 2}
NO_PIPELINE = {"strategy": "3d", "data": 2, "tensor": 2}
ALL = {"strategy": "3d", "data": 2, "tensor": 2, "pipeline": 2, "microbatches": 2}


@dataclass(frozen=True)
class Bench:
    """A folder with base models and rows, in which trainings are run."""

    root: Path

    def plan(
        self,
        name: str,
        layout: dict[str, Any],
        base: str = "untied",
        data: str = "rows",
        source: str | None = None,
        **changes: Any,
    ) -> Path:
        recipe = {
            "epochs": 2,
            "optimizer": {"type": "adamw", "lr": 3e-3, "weight_decay": 0.01, "max_grad_norm": 0.5},
            **changes,
        }
        rows = (TRAIN, VALIDATION) if data == "rows" else (len(np.load(self.root / data / "weights.npy")) - 1, 1)
        folder = make_plan(self.root / name, self.root / data, self.root / base, *rows, layout, **recipe)
        if source is not None:
            (folder / SOURCE_FILE).write_text(str(self.root / source))
        return folder

    def curve(self, name: str, what: str = "loss") -> np.ndarray:
        return np.asarray(read_curve(self.root / name)[what])

    def lines(self, name: str, kind: str) -> list[dict[str, Any]]:
        said = map(json.loads, (self.root / name / PROGRESS_FILE).read_text().splitlines())
        return [line for line in said if line["type"] == kind]

    def weights(self, name: str) -> dict[str, np.ndarray]:
        from safetensors.numpy import load_file

        found: dict[str, np.ndarray] = load_file(self.root / name / WEIGHTS / WEIGHTS_FILE)
        return found


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Bench:
    """The reference trainings of one process, and those that four and two ranks do, each group by ranks that start once."""
    bench = Bench(tmp_path_factory.mktemp("parallel"))
    root, found = bench.root, documents(60)
    make_bases(
        (root / "untied", "llama", {}),
        (root / "tied", "llama", {"tie_word_embeddings": True}),
        (root / "qwen", "qwen3", {"head_dim": 16}),
    )
    write_rows(root / "rows", [*packed(found[:48], 2), *packed(found[48:], 1)])
    write_rows(root / "packed", [*packed(found[:24], 3), found[24:25]])
    write_rows(root / "separate", packed(found[:25], 1))
    train(
        1,
        bench.plan("single", SINGLE),
        bench.plan("single-tied", SINGLE, "tied", epochs=1),
        bench.plan("single-qwen", SINGLE, "qwen", epochs=1),
        bench.plan("single-16", SINGLE, epochs=1, precision="bf16"),
        bench.plan("single-separate", SINGLE, data="separate", epochs=1, batch_size=24),
        bench.plan("single-short", SINGLE, max_steps=SHORT),
    )
    train(
        4,
        bench.plan("tensor-pipeline", NO_DATA),
        bench.plan("data-pipeline", NO_TENSOR, **ECONOMY, micro_batch_size=2),
        bench.plan("data-tensor", NO_PIPELINE),
        bench.plan("tensor-pipeline-short", NO_DATA, max_steps=SHORT),
        bench.plan("data-tensor-short", NO_PIPELINE, max_steps=SHORT),
        bench.plan("data-tensor-again", NO_PIPELINE, source="data-tensor-short"),
    )
    train(
        2,
        bench.plan("tensor", TENSOR, **ECONOMY, micro_batch_size=3),
        bench.plan("pipeline", PIPELINE),
        bench.plan("fsdp", FSDP),
        bench.plan("ddp", DDP),
        bench.plan("tensor-tied", TENSOR, "tied", epochs=1),
        bench.plan("tensor-qwen", TENSOR, "qwen", epochs=1),
        bench.plan("tensor-16", TENSOR, epochs=1, precision="bf16"),
        bench.plan("pipeline-16", PIPELINE, epochs=1, precision="bf16"),
        bench.plan("tensor-packed", TENSOR, data="packed", epochs=1, batch_size=8),
        bench.plan("pipeline-packed", PIPELINE, data="packed", epochs=1, batch_size=8),
        bench.plan("refused", PIPELINE, "tied", epochs=1),
        bench.plan("tensor-short", TENSOR, **ECONOMY, micro_batch_size=3, max_steps=SHORT),
        bench.plan("fsdp-short", FSDP, max_steps=SHORT),
        bench.plan("tensor-again", TENSOR, **ECONOMY, micro_batch_size=3, source="tensor-short"),
        bench.plan("tensor-after-single", TENSOR, source="single-short"),
        bench.plan("fsdp-after-single", FSDP, source="single-short"),
        bench.plan("pipeline-after-fsdp", PIPELINE, source="fsdp-short"),
        bench.plan("ddp-after-3d", DDP, source="tensor-pipeline-short"),
    )
    train(
        1,
        bench.plan("single-after-tensor", SINGLE, source="tensor-short"),
        bench.plan("single-after-data-tensor", SINGLE, source="data-tensor-short"),
    )
    return bench


SPREAD = ["tensor", "pipeline", "fsdp", "ddp", "tensor-pipeline", "data-pipeline", "data-tensor"]


@pytest.mark.parametrize("name", SPREAD)
def test_every_layout_takes_the_steps_of_one_process(bench: Bench, name: str) -> None:
    assert len(bench.curve("single")) == STEPS
    assert bench.curve("single")[-1] < 0.9 * bench.curve("single")[0]  # there is something to compare
    np.testing.assert_allclose(bench.curve(name), bench.curve("single"), rtol=1e-5)
    expected = [line["val_loss"] for line in bench.lines("single", "epoch")]
    np.testing.assert_allclose([line["val_loss"] for line in bench.lines(name, "epoch")], expected, rtol=1e-5)


@pytest.mark.parametrize("name", SPREAD)
def test_gradients_are_clipped_by_their_length_over_all_ranks(bench: Bench, name: str) -> None:
    assert bench.curve("single", "grad_norm").min() > 0.5  # every step is clipped
    np.testing.assert_allclose(bench.curve(name, "grad_norm"), bench.curve("single", "grad_norm"), rtol=1e-4)


@pytest.mark.parametrize("name", SPREAD)
def test_the_weights_of_all_ranks_end_up_in_one_file(bench: Bench, name: str) -> None:
    expected, found = bench.weights("single"), bench.weights(name)
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=3e-4, err_msg=key)


# embeddings 16,384, a layer 30,848 of which 128 for norms, norm 64, output layer 16,384
TOTAL, LAYER = 156_224, 30_848
HALF_LAYERS = 2 * 128 + 2 * (LAYER - 128) // 2


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("ddp", [TOTAL, TOTAL]),
        ("fsdp", [TOTAL // 2] * 2),
        ("tensor", [(TOTAL - 4 * 128 - 64) // 2 + 4 * 128 + 64] * 2),
        ("pipeline", [16_384 + 2 * LAYER, 2 * LAYER + 64 + 16_384]),
        ("tensor-pipeline", [8_192 + HALF_LAYERS] * 2 + [HALF_LAYERS + 64 + 8_192] * 2),
        ("data-tensor", [((TOTAL - 4 * 128 - 64) // 2 + 4 * 128 + 64) // 2] * 4),
        ("data-pipeline", [(16_384 + 2 * LAYER) // 2] * 2 + [(2 * LAYER + 64 + 16_384) // 2] * 2),
    ],
)
def test_a_rank_holds_its_part_and_no_more(bench: Bench, name: str, expected: list[int]) -> None:
    (line,) = bench.lines(name, "held")
    assert line["total"] == line["trainable"] == TOTAL
    assert [rank["parameters"] for rank in line["ranks"]] == expected
    for rank in line["ranks"]:  # two moments for each parameter, and one number of steps for each tensor
        assert 0 <= rank["optimizer"] - 2 * rank["parameters"] <= 60


@pytest.mark.parametrize("kind", ["tied", "qwen"])
def test_tied_embeddings_and_norms_of_heads_are_cut_rightly(bench: Bench, kind: str) -> None:
    np.testing.assert_allclose(bench.curve(f"tensor-{kind}"), bench.curve(f"single-{kind}"), rtol=1e-5)
    found, expected = bench.weights(f"tensor-{kind}"), bench.weights(f"single-{kind}")
    assert found.keys() == expected.keys()
    for key, value in expected.items():
        np.testing.assert_allclose(found[key], value, atol=3e-4, err_msg=key)


@pytest.mark.parametrize("name", ["tensor-16", "pipeline-16"])
def test_sixteen_bits_learn_alike(bench: Bench, name: str) -> None:
    assert (bench.curve("single-16") != bench.curve("single")[:4]).all()  # it is not float32
    np.testing.assert_allclose(bench.curve(name), bench.curve("single-16"), rtol=5e-3)


def test_the_loss_is_that_of_transformers_and_parts_of_it_add_up(bench: Bench) -> None:
    run(
        1, "tests.integration.training.check_language", *(str(bench.root / name) for name in ("untied", "tied", "qwen"))
    )


@pytest.mark.parametrize("name", ["tensor-packed", "pipeline-packed"])
def test_no_document_of_a_packed_row_sees_another(bench: Bench, name: str) -> None:
    assert bench.curve(name)[0] == pytest.approx(bench.curve("single-separate")[0], rel=1e-5)


AFTER = [
    "tensor-again",
    "tensor-after-single",
    "fsdp-after-single",
    "pipeline-after-fsdp",
    "ddp-after-3d",
    "single-after-tensor",
    "single-after-data-tensor",
]


@pytest.mark.parametrize("name", AFTER)
def test_another_layout_goes_on_from_a_checkpoint(bench: Bench, name: str) -> None:
    assert bench.lines(name, "resumed")[0]["step"] == SHORT
    np.testing.assert_allclose(bench.curve(name), bench.curve("single")[SHORT:], rtol=1e-5)


@pytest.mark.parametrize("name", ["tensor", "data-tensor"])
def test_the_same_layout_goes_on_to_the_same_bits(bench: Bench, name: str) -> None:
    again = f"{name}-again"
    for what in ("loss", "grad_norm"):
        assert bench.curve(again, what).tolist() == bench.curve(name, what)[SHORT:].tolist()
    assert all((value == bench.weights(name)[key]).all() for key, value in bench.weights(again).items())


@pytest.mark.soak
def test_a_killed_rank_costs_the_steps_since_the_checkpoint_and_not_a_bit_of_the_result(bench: Bench) -> None:
    folder = bench.plan("killed", PIPELINE, checkpoint={"every": "2 steps", "keep": 2, "background": True})
    program = command(2, "-m", "mlctl.runtime.trainer.worker", str(folder))
    with Started(program, folder / "log") as first:
        deadline = time.monotonic() + 300
        while not any((folder / CHECKPOINTS).glob("step-*.json")):
            assert first.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.005)
        ranks = [child for child in psutil.Process(first.pid).children() if "worker" in " ".join(child.cmdline())]
        assert len(ranks) == 2
        os.kill(ranks[1].pid, signal.SIGKILL)
        assert first.wait(60) != 0
    assert not (folder / WEIGHTS).exists()
    with Started(program, folder / "log") as second:
        assert second.wait(300) == 0, (folder / "log").read_text()
    assert bench.lines("killed", "resumed")[-1]["step"] >= 2
    assert bench.curve("killed").tolist() == bench.curve("pipeline").tolist()
    assert all((value == bench.weights("pipeline")[key]).all() for key, value in bench.weights("killed").items())


def test_what_a_pipeline_cannot_do_is_said_by_every_rank(bench: Bench) -> None:
    for rank in range(2):
        assert "ties its output layer to its embeddings" in (bench.root / "refused" / f"refused-{rank}").read_text()


class Started:
    """A process in a session of its own, which does not outlive the test."""

    def __init__(self, program: list[str], log: Path) -> None:
        with open(log, "ab") as stream:
            self.process = subprocess.Popen(program, env=environment(), stdout=stream, stderr=stream)

    def __enter__(self) -> subprocess.Popen[bytes]:
        return self.process

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            for child in psutil.Process(self.process.pid).children(recursive=True):
                child.kill()
            self.process.kill()
        self.process.wait()


@pytest.mark.soak
@pytest.mark.slow
def test_eight_ranks_in_three_dimensions(bench: Bench) -> None:
    train(8, bench.plan("all", ALL, epochs=1))
    np.testing.assert_allclose(bench.curve("all"), bench.curve("single")[:4], rtol=1e-5)
    (line,) = bench.lines("all", "held")
    assert max(rank["parameters"] for rank in line["ranks"]) < TOTAL / 7
