"""What ranks read on this machine, laid out on another one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlctl.runtime.trainer.executors import parcel
from mlctl.runtime.trainer.objects import Objects
from mlctl.runtime.trainer.plan import PLAN_FILE, PreparedText, RankPlan
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from tests.integration.state.conftest import BUCKET, KEYS, client, moto_url  # noqa: F401

pytestmark = pytest.mark.tools


@pytest.fixture
def objects(moto_url: str, monkeypatch: pytest.MonkeyPatch) -> Objects:  # noqa: F811
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = client(moto_url)
    if BUCKET not in {item["Name"] for item in made.list_buckets()["Buckets"]}:
        made.create_bucket(Bucket=BUCKET)
    return Objects(Storage(url=f"s3://{BUCKET}/{uuid4().hex}", endpoint_url=moto_url))


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project with a teacher, a job's folder in it, and a base model outside of both."""
    root = tmp_path / "project"
    files = {
        "project/jobs/a/text/input_ids.npy": b"tokens", "project/teacher/config.json": b"{}", "project/teacher/deep/w.bin": b"weights",
        "cache/base/config.json": b"{}", "cache/base/model.safetensors": b"more weights", "project/unrelated.txt": b"not sent",
    }  # fmt: skip
    for name, data in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    recipe: dict[str, Any] = {
        "model": {"type": "causal_lm", "base": "cache/of/somebody", "digest": None, "revision": "main"}, "layout": {"strategy": "single"},
        "precision": "fp32", "epochs": 1, "batch_size": 2, "optimizer": {"type": "adamw", "lr": 0.1}, "seed": 0,
        "checkpoint": {"every": "1 epochs", "keep": 1}, "distillation": {"teacher": "teacher", "teacher_digest": None, "alpha": 0.5, "temperature": 1.0},
    }  # fmt: skip
    folder = root / "jobs" / "a"
    data = PreparedText.model_validate(
        {
            "folder": str(folder / "text"), "base": str(tmp_path / "cache" / "base"), "train": 1, "validation": 1, "train_tokens": 1,
            "max_length": 8, "pad_token": 0,
        }
    )  # fmt: skip
    plan = RankPlan.model_validate({"data": data, "model": {"note": f"{root}-not-a-path-below-it"}, "recipe": recipe})
    (folder / PLAN_FILE).write_text(plan.model_dump_json())
    return root


def test_every_path_of_a_plan_leads_to_the_same_bytes_elsewhere(
    objects: Objects, project: Path, tmp_path: Path
) -> None:
    packed = parcel.pack(project / "jobs" / "a", project)
    told: list[str] = []
    parcel.send(packed, objects, "run/x/manifest.json", told.append)
    there = parcel.receive(objects, objects.get_json("run/x/manifest.json"), tmp_path / "scratch")
    plan = RankPlan.read(there)
    assert isinstance(plan.data, PreparedText)
    assert (Path(plan.data.folder) / "input_ids.npy").read_bytes() == b"tokens"
    assert (Path(plan.data.base) / "model.safetensors").read_bytes() == b"more weights"
    assert all(path.is_relative_to(tmp_path / "scratch") for path in map(Path, (plan.data.folder, plan.data.base)))
    assert plan.recipe.distillation is not None
    project_there = tmp_path / "scratch" / "project"  # from where ranks run
    assert (project_there / plan.recipe.distillation.teacher / "deep" / "w.bin").read_bytes() == b"weights"
    assert not list((tmp_path / "scratch").rglob("unrelated.txt"))
    assert plan.model["note"] == f"{project}-not-a-path-below-it"
    assert len(told) == 1
    parcel.send(packed, objects, "run/y/manifest.json", told.append)  # another attempt sends nothing again
    assert len(told) == 1


def test_what_was_damaged_on_its_way_or_sent_by_another_version_is_refused(
    objects: Objects, project: Path, tmp_path: Path
) -> None:
    packed = parcel.pack(project / "jobs" / "a", project)
    parcel.send(packed, objects, "run/x/manifest.json", print)
    other = {**packed.manifest, "mlctl": "0.0.1"}
    with pytest.raises(MlctlError) as caught:
        parcel.receive(objects, other, tmp_path / "other")
    assert caught.value.diagnostics[0].code == "training.remote-version"
    for name in objects.names("input/"):
        objects.put(name, b"rotten")
    with pytest.raises(MlctlError) as caught:
        parcel.receive(objects, packed.manifest, tmp_path / "scratch")
    assert caught.value.diagnostics[0].code == "training.remote-damaged"


def test_a_plan_with_a_secret_goes_into_no_bucket(project: Path) -> None:
    folder = project / "jobs" / "a"
    stored = json.loads((folder / PLAN_FILE).read_text())
    stored["model"]["token"] = "${secret:var.token#1f0c}"
    (folder / PLAN_FILE).write_text(json.dumps(stored))
    with pytest.raises(MlctlError) as caught:
        parcel.pack(folder, project)
    assert caught.value.diagnostics[0].code == "training.remote-secret"
