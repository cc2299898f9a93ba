"""A student learns from a teacher, and a training that was cut off goes on as one that was not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mlctl.runtime.trainer.progress import read_curve
from tests.integration.training.language import make_plan, write_rows

pytestmark = pytest.mark.tools

# A model of random weights foretells all tokens alike; the teacher is made to prefer some, so that there is something to learn.
MAKE = """
import sys; from pathlib import Path; from tests.integration.text.tiny import make_model
from transformers import AutoModelForCausalLM
teacher = make_model(Path(sys.argv[1]) / "teacher", hidden=48, seed=1)
model = AutoModelForCausalLM.from_pretrained(teacher)
model.model.norm.weight.data.mul_(5.0)
model.save_pretrained(teacher)
make_model(Path(sys.argv[1]) / "student", hidden=32, seed=2)
"""
OTHER = """
import sys; from pathlib import Path; from tests.integration.text.tiny import make_model, make_tokenizer
folder = make_model(Path(sys.argv[1]), seed=3)
tokenizer = make_tokenizer()
tokenizer.add_tokens(["<|another|>"])
tokenizer.save_pretrained(folder)
"""
WIDER = """
import sys, shutil; from pathlib import Path; from transformers import AutoModelForCausalLM
teacher, wider = Path(sys.argv[1]), Path(sys.argv[2])
shutil.copytree(teacher, wider)
model = AutoModelForCausalLM.from_pretrained(teacher)
model.resize_token_embeddings(model.config.vocab_size + 8)
model.save_pretrained(wider)
"""
# The loss of the first step by its formula, and how far the student's probabilities are from the teacher's, without our own code.
MEASURE = """
import sys, json, numpy as np, torch
from pathlib import Path
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM
from mlctl.runtime.trainer.order import epoch_order
models, rows, weights, alpha, T = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], float(sys.argv[4]), float(sys.argv[5])
teacher, student = (AutoModelForCausalLM.from_pretrained(models / name).eval() for name in ("teacher", "student"))
ids, labels, offsets = (np.load(rows / f"{name}.npy").astype("int64") for name in ("input_ids", "labels", "offsets"))
def distance(model):
    apart, hard, soft, count = [], 0.0, 0.0, 0
    for row in epoch_order(5, 0, 32)[:8].tolist():
        tokens = torch.from_numpy(ids[offsets[row]:offsets[row + 1]])
        wanted = torch.from_numpy(labels[offsets[row]:offsets[row + 1]])[1:]
        with torch.no_grad():
            p, q = (item(tokens[None]).logits[0, :-1][wanted != -100] for item in (teacher, model))
        apart.append(float((p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum(-1).mean()))
        hard += float(-q.log_softmax(-1).gather(1, wanted[wanted != -100][:, None]).sum())
        p, q = p / T, q / T
        soft += float((p.softmax(-1) * (p.log_softmax(-1) - q.log_softmax(-1))).sum())
        count += int((wanted != -100).sum())
    return sum(apart) / len(apart), (alpha * T * T * soft + (1 - alpha) * hard) / count
before, loss = distance(student)
student.load_state_dict(load_file(Path(weights) / "model.safetensors"), strict=False)
print(json.dumps([before, distance(student)[0], loss]))
"""
ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONWARNINGS": "ignore",
}


def python(*arguments: object) -> str:
    command = [sys.executable, *map(str, arguments)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("distill")
    python("-c", MAKE, folder)
    draw = np.random.default_rng(5)
    rows = []
    for _ in range(40):
        start, length = int(draw.integers(3, 200)), int(draw.integers(6, 16))
        rows.append([([start + place for place in range(length)] + [2], 3)])
    write_rows(folder / "rows", rows)
    return folder


def plan(models: Path, job: Path, distillation: dict[str, Any], **changes: Any) -> Path:
    asked = {
        "teacher": str(models / "teacher"),
        "teacher_digest": None,
        "alpha": 0.5,
        "temperature": 1.0,
        **distillation,
    }
    options = {
        "engine": "hf", "distillation": asked, "optimizer": {"type": "adamw", "lr": 3e-3}, "epochs": 6, "micro_batch_size": 4,
        "checkpoint": {"every": "3 steps", "keep": 100}, **changes,
    }  # fmt: skip
    return make_plan(job, models / "rows", models / "student", 32, 8, {"strategy": "single"}, **options)


def train(job: Path, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "mlctl.runtime.trainer.worker", str(job)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, done.stderr
    return done


@pytest.fixture(scope="module")
def offline(models: Path) -> Path:
    job = plan(models, models / "offline", {"alpha": 0.9, "temperature": 2.0})
    train(job)
    return job


@pytest.fixture(scope="module")
def on_policy(models: Path) -> Path:
    job = plan(models, models / "on-policy", {"on_policy": True, "beta": 0.0, "max_new_tokens": 6})
    train(job)
    return job


def test_the_loss_is_the_formula_and_the_student_comes_nearer_to_its_teacher(models: Path, offline: Path) -> None:
    said = python("-c", MEASURE, models, models / "rows", offline / "weights", 0.9, 2.0)
    before, after, loss = json.loads(said)
    assert read_curve(offline)["loss"][0] == pytest.approx(loss, rel=1e-5)
    assert after < 0.9 * before


def test_a_student_learns_from_what_it_writes_itself(on_policy: Path) -> None:
    loss = read_curve(on_policy)["loss"]
    assert len(loss) == 24
    assert loss[-4:].mean() < 0.95 * loss[:4].mean()


@pytest.mark.soak
@pytest.mark.parametrize("way", ["offline", "on_policy"])
def test_a_distillation_that_was_cut_off_goes_on_as_if_it_had_not_been(
    tmp_path: Path, way: str, request: pytest.FixtureRequest
) -> None:
    whole: Path = request.getfixturevalue(way)
    cut = tmp_path / "cut"
    shutil.copytree(whole, cut)
    (cut / "ranks-ended.json").unlink()
    shutil.rmtree(cut / "weights")
    for path in (cut / "checkpoints").glob("step-*.json"):
        if json.loads(path.read_bytes())["step"] > 18:
            path.unlink()
    train(cut)
    assert read_curve(cut)["loss"].tolist() == read_curve(whole)["loss"].tolist()
    assert (cut / "weights/model.safetensors").read_bytes() == (whole / "weights/model.safetensors").read_bytes()


@pytest.mark.soak
def test_a_teacher_with_other_tokens_is_refused(models: Path, tmp_path: Path) -> None:
    python("-c", OTHER, tmp_path / "other")
    done = train(plan(models, tmp_path / "job", {"teacher": str(tmp_path / "other")}), check=False)
    assert done.returncode != 0
    assert "another vocabulary than the student" in done.stderr


@pytest.mark.soak
@pytest.mark.parametrize("way", [{"alpha": 1.0}, {"on_policy": True, "max_new_tokens": 2}])
def test_a_teacher_whose_vocabulary_is_padded_further_still_teaches(
    models: Path, tmp_path: Path, way: dict[str, Any]
) -> None:
    python("-c", WIDER, models / "teacher", tmp_path / "wider")
    train(plan(models, tmp_path / "job", {**way, "teacher": str(tmp_path / "wider")}, max_steps=1))
    assert len(read_curve(tmp_path / "job")["loss"]) == 1
