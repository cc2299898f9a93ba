"""What the project's own code may do to a training: learn by its own loss, from its own dataset, and go wrong in every way."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlctl.runtime.trainer.progress import read_curve
from mlctl.types.diagnostic import ExitCode, MlctlError
from tests.integration.training.conftest import DDP
from tests.integration.training.project import Project, context_with_stop, in_background, processes_of, wait_for

pytestmark = pytest.mark.tools

CODE = '''
import os
import sys
import time

import torch
from torch import nn
from torch.utils.data import Dataset


class Curves(Dataset):
    """Each row of the file is a point of a parabola."""

    def __init__(self, files, share):
        lines = [line.split(",") for path in files for line in open(path).read().splitlines()[1:]]
        rows = [(float(x), float(y)) for x, y in lines]
        self.rows = [row for place, row in enumerate(rows) if (place % 5 == 0) == (share == "validation")]

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, row):
        x, y = self.rows[row]
        return torch.tensor([x, x * x]), torch.tensor(y)


def dataset(files, split, mood="good", **params):
    if mood == "no rows" and split == "validation":
        return []
    if mood == "no dataset":
        return iter(files)
    if mood == "no pairs":
        return [1, 2, 3]
    if mood == "raises in dataset":
        raise KeyError("no such column")
    if mood == "leaves in dataset":
        os._exit(0)
    return Curves(files, split)


class Net(nn.Module):
    def __init__(self, mood):
        super().__init__()
        self.mood, self.layer, self.steps = mood, nn.Linear(2, 1), 0

    def forward(self, x):
        if self.training:
            self.steps += 1
        if self.training and self.steps == 3:
            misbehave(self.mood)
        return self.layer(x).squeeze(-1)


def misbehave(mood):
    if mood == "raises":
        raise ValueError("the flux capacitor is empty")
    if mood == "leaves":
        os._exit(0)
    if mood == "asks to leave":
        sys.exit(0)
    if mood == "forks":
        os.fork()
    if mood == "leaves a child":
        if os.fork() == 0:
            time.sleep(600)
            os._exit(0)
    if mood == "hangs":
        time.sleep(600)
    if mood == "talks":
        for _ in range(40):
            print("x" * 100_000)


def build(mood="good"):
    return Net(mood)


def loss(outputs, targets):
    return (outputs - targets) ** 2


def metrics(outputs, targets):
    return {"worst": (outputs - targets).abs().max(), "rows": len(targets)}


def one_loss(outputs, targets):
    return ((outputs - targets) ** 2).mean()


def no_gradient(outputs, targets):
    return ((outputs - targets) ** 2).detach()


def not_a_number(outputs, targets):
    return (outputs - targets) ** 2 * float("nan")


def no_figures(outputs, targets):
    return {"worst": "very bad"}
'''


@pytest.fixture(scope="module")
def curves(project: Project) -> Project:
    (project.root / "src" / "curves.py").write_text(CODE)
    rows = [{"x": place / 40 - 1, "y": 2 * (place / 40 - 1) ** 2 + 1} for place in range(80)]
    project.write_table("curve", rows, {"x": "double", "y": "double"})
    return project


def values(mood: str = "good", **changed: Any) -> dict[str, Any]:
    model = {
        "type": "python", "entrypoint": "src/curves.py:build", "params": {"mood": mood}, "loss": "src/curves.py:loss",
        "metrics": "src/curves.py:metrics", "dataset": "src/curves.py:dataset", **changed.pop("model", {}),
    }  # fmt: skip
    return {"model": model, "data": {"dataset": "curve"}, "epochs": 2, "batch_size": 16, **changed}


def refused(project: Project, name: str, **block: Any) -> tuple[str, str]:
    """The code and the text of the error that a training ends in; nothing of it may be left running."""
    with pytest.raises(MlctlError) as raised:
        project.train(f"training.{name}", **block)
    (found,) = raised.value.diagnostics
    wait_for(lambda: not processes_of(project.folder(f"training.{name}", **block)), seconds=10)
    return found.code, f"{found.summary}\n{found.why}\n{found.fix}"


def test_a_dataset_and_a_loss_of_ones_own(curves: Project) -> None:
    asked = values(epochs=40, optimizer={"type": "adamw", "lr": 0.1})
    record = curves.train("training.curve", **asked)
    outputs = record.outputs
    assert outputs["rows"] == 80
    assert outputs["metrics"]["rows"] == 16
    assert outputs["metrics"]["worst"] < 0.5
    assert outputs["metrics"]["val_loss"] < 0.1
    place = curves.root / outputs["model"] / "data" / "network"
    code = "import torch; from load import load; print(load()(torch.tensor([[0.5, 0.25]])).item())"
    alone = subprocess.run([sys.executable, "-c", code], cwd=place, capture_output=True, text=True, check=True)
    assert float(alone.stdout) == pytest.approx(1.5, abs=0.5)
    program = f"import mlflow; result = mlflow.pyfunc.load_model({str(curves.root / outputs['model'])!r}).predict([[0.5, 0.25]]).tolist()"
    assert curves.mlflow(program) == [pytest.approx(float(alone.stdout))]


@pytest.mark.parametrize("block", [{}, pytest.param(DDP, marks=pytest.mark.soak)], ids=["alone", "ddp"])
@pytest.mark.parametrize(
    ("mood", "code", "text"),
    [
        ("raises", "training.rank-failed", "the flux capacitor is empty"),
        ("leaves", "training.rank-left", "exit code 0"),
        ("asks to leave", "training.rank-failed", "asked this process to end (exit code 0)"),
        ("forks", "training.rank-failed", "the project's code forked this process"),
    ],
)
def test_code_that_ends_a_rank_is_an_error_that_says_so(
    curves: Project, mood: str, code: str, text: str, block: dict[str, Any]
) -> None:
    name = f"{mood.replace(' ', '_')}_{len(block)}"
    found, told = refused(curves, name, **values(mood, **block))
    assert found == code, told
    assert text in told


@pytest.mark.soak
@pytest.mark.slow
def test_code_that_hangs_is_ended_when_it_does_not_stop(curves: Project) -> None:
    block = values("hangs")
    ctx, stop = context_with_stop(curves.ctx)  # what the `timeout` of an object sets
    desired, folder = curves.desired("training.hangs", **block), curves.folder("training.hangs", **block)
    thread, errors = in_background(lambda: curves.training.apply(desired, None, ctx))
    wait_for(lambda: len(read_curve(folder)) == 2)
    stop.set()
    thread.join()
    assert [error.exit_code for error in errors] == [ExitCode.INTERRUPTED]
    assert not processes_of(folder)


def test_megabytes_of_output_are_only_a_long_log(curves: Project) -> None:
    block = values("talks")
    assert curves.train("training.talks", **block).outputs["rows"] == 80
    folder = curves.folder("training.talks", **block)
    assert (folder / "log.txt").stat().st_size > 4_000_000
    assert len((folder / "events.jsonl").read_bytes()) < 100_000


def test_a_child_that_is_left_behind_ends_with_its_rank(curves: Project) -> None:
    block = values("leaves a child")
    assert curves.train("training.child", **block).outputs["rows"] == 80
    wait_for(lambda: not processes_of(curves.folder("training.child", **block)), seconds=10)


@pytest.mark.parametrize(
    ("mood", "code", "text"),
    [
        ("no rows", "training.dataset-failed", "gave no rows for `validation`"),
        ("no dataset", "training.dataset-failed", "not a torch Dataset"),
        ("no pairs", "training.dataset-failed", "not a pair (input, target)"),
        ("raises in dataset", "training.dataset-failed", "no such column"),
        ("leaves in dataset", "training.dataset-left", "exit code 0"),
    ],
)
def test_a_dataset_that_cannot_be_learnt_from_is_refused(curves: Project, mood: str, code: str, text: str) -> None:
    found, told = refused(curves, mood.replace(" ", "_"), **values(mood))
    assert found == code, told
    assert text in told


@pytest.mark.parametrize(
    ("field", "function", "text"),
    [
        ("loss", "one_loss", "it must be (rows,), one loss for each row"),
        ("loss", "no_gradient", "losses without a gradient"),
        ("loss", "not_a_number", "the loss became nan at step 1"),
        ("metrics", "no_figures", "which is not a number"),
    ],
)
def test_functions_that_give_something_else_are_refused(curves: Project, field: str, function: str, text: str) -> None:
    block = values(model={field: f"src/curves.py:{function}"})
    found, told = refused(curves, function, **block)
    assert text in told, found


def test_a_table_learns_by_a_loss_of_ones_own(curves: Project) -> None:
    model = {
        "type": "python", "entrypoint": "src/model.py:build", "loss": "src/curves.py:loss", "metrics": "src/curves.py:metrics",
    }  # fmt: skip
    record = curves.train("training.own_loss", model=model)
    assert record.outputs["metrics"]["rows"] > 0
    assert "roc_auc" in record.outputs["metrics"]
    assert json.loads((Path(curves.ctx.folder(record.key)) / "ranks-ended.json").read_text())["status"] == "done"
