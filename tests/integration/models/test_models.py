"""`mlctl models` on a project that was really trained, judged and registered."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mlctl.types.diagnostic import ExitCode
from tests import nursery

pytestmark = pytest.mark.tools
MLCTL = Path(sys.executable).with_name("mlctl")
PROJECT = """
project: demo
owner: {team: risk}
datasets:
  train: {path: data/train.csv, key: [id]}
  hold: {path: data/hold.csv, key: [id]}
training:
  small:
    description: Who will say *yes*
    data: {labels: train, columns: [a, b], target: y, split: {by: random, test: 20%}}
    model: {type: mlp, hidden: [8]}
    epochs: 2
    batch_size: 32
    optimizer: {lr: 1e-2}
    seed: 3
evaluations:
  gate:
    model: ${training.small.model}
    dataset: hold
    require: {roc_auc: {min: 0.6}}
    register: {name: says_yes, alias: champion}
"""


def mlctl(root: Path, *words: str) -> tuple[int, str, str]:
    done = nursery.mlctl(*words, folder=root)
    return done.returncode, done.stdout, done.stderr


def ok(root: Path, *words: str) -> str:
    code, out, err = mlctl(root, *words)
    assert code == 0, out + err
    return out


def line(root: Path, *words: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(ok(root, *words, "--json"))
    return found


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("models")
    (root / "data").mkdir()
    (root / "mlctl.yaml").write_text(PROJECT)
    draw = random.Random(1)
    for name, rows in (("train", 400), ("hold", 150)):
        lines = ["id,a,b,y"]
        for number in range(rows):
            a, b = draw.gauss(0, 1), draw.gauss(0, 1)
            lines.append(f"{name}{number},{a:.4f},{b:.4f},{int(a + b / 2 + draw.gauss(0, 0.5) > 0)}")
        (root / "data" / f"{name}.csv").write_text("\n".join(lines) + "\n")
    (root / ".gitignore").write_text(".mlctl/\n")
    for words in (["init", "-q"], ["add", "-A"], ["-c", "user.email=a@b", "-c", "user.name=a", "commit", "-qm", "one"]):
        subprocess.run(["git", *words], cwd=root, check=True)
    assert "No model is registered" in ok(root, "models", "list")
    ok(root, "apply", "--yes")
    return root


def test_a_registered_model_is_listed_with_its_alias_and_metrics(project: Path) -> None:
    item = line(project, "models", "list")
    assert (item["name"], item["version"], item["aliases"]) == ("says_yes", "1", ["champion"])
    assert item["address"] == "evaluations.gate"
    assert item["metrics"]["roc_auc"] > 0.6
    assert "says_yes        1  champion" in ok(project, "models", "list")


@pytest.mark.parametrize("model", ["training.small", "says_yes", "says_yes@1"])
def test_a_model_is_found_by_each_of_its_names(project: Path, model: str) -> None:
    found = line(project, "models", "provenance", model)
    assert found["document"]["address"] == "training.small"
    assert {item["status"] for item in found["checks"]} == {"same"}
    assert [item["name"] for item in found["checks"] if item["what"] == "data"] == ["train"]


def test_a_card_holds_what_is_known_and_nothing_that_reads_as_markup(project: Path, tmp_path: Path) -> None:
    out = tmp_path / "CARD.md"
    ok(project, "models", "card", "says_yes@champion", "--out", str(out))
    text = out.read_text()
    assert "*yes*" not in text
    assert "Who will say &#42;yes&#42;" in text
    for wanted in ("Owner: risk", "| <code>train</code> | 400 |", "evaluations.gate", "on 150 rows", "mlctl models reproduce says_yes/1"):  # fmt: skip
        assert wanted in text
    assert ok(project, "models", "card", "says_yes@champion") == text


def test_a_model_comes_out_the_same_again_without_touching_anything(project: Path) -> None:
    state = (project / ".mlctl" / "default" / "state.json").read_bytes()
    report = line(project, "models", "reproduce", "says_yes/1")
    assert report["verdict"] == "identical"
    assert report["digest"]["recorded"] == report["digest"]["again"]
    assert report["metrics"]["val_loss"]["recorded"] == report["metrics"]["val_loss"]["again"]
    assert (project / ".mlctl" / "default" / "state.json").read_bytes() == state
    assert not (project / ".mlctl" / "default" / "reproduced").exists()
    assert len(ok(project, "models", "list", "--json").splitlines()) == 1


def test_a_model_whose_data_has_changed_is_told_and_not_trained_again(project: Path) -> None:
    path = project / "data" / "train.csv"
    before = path.read_text()
    try:
        path.write_text(before.replace("train7,", "train7x,"))
        checks = line(project, "models", "provenance", "says_yes")["checks"]
        assert [item for item in checks if item["what"] == "data"] == [
            {"what": "data", "name": "train", "status": "changed", "detail": "data/train.csv"}
        ]
        code, _, err = mlctl(project, "models", "reproduce", "says_yes")
        assert (code, "models.not-reproducible" in err) == (ExitCode.DRIFT, True)
        path.unlink()
        assert "gone" in ok(project, "models", "provenance", "says_yes")
    finally:
        path.write_text(before)


@pytest.mark.parametrize(
    ("model", "hint"),
    [
        ("says_yes@champio", "did you mean `champion`"),
        ("says_yes/7", "there are the versions 1"),
        ("training.smal", "did you mean `small`"),
        ("a/b/c", "write `training.NAME`"),
    ],
)
def test_a_name_that_means_nothing_is_answered_by_what_there_is(project: Path, model: str, hint: str) -> None:
    code, out, err = mlctl(project, "models", "provenance", model)
    assert (code, out) == (ExitCode.ERROR, "")
    assert hint in err
