"""Trainings on machines that share no disk with this one: a real bucket, the real kubectl, pods that are processes of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlctl.provider import Condition
from mlctl.runtime.trainer.objects import Objects, job_place
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.state import Record
from tests.integration.state.conftest import BUCKET, KEYS, client, seaweedfs_url  # noqa: F401
from tests.integration.training.cluster import Cluster, Pod
from tests.integration.training.project import Project, context_with_stop, in_background, kill_session, wait_for

pytestmark = [pytest.mark.tools, pytest.mark.slow]
SECRET = {"bucket-keys": {"id": KEYS["AWS_ACCESS_KEY_ID"], "key": KEYS["AWS_SECRET_ACCESS_KEY"]}}


@pytest.fixture
def cluster(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cluster]:
    """Its pods know nothing of this machine's bucket keys but what a Secret gives them."""
    if shutil.which("kubectl") is None:
        pytest.skip("kubectl is not installed")
    bare = {name: os.environ[name] for name in ("PATH", "LANG", "OMP_NUM_THREADS") if name in os.environ}
    made = Cluster(tmp_path / "pods", bare, SECRET)
    made.write_config(tmp_path / "kubeconfig")
    monkeypatch.setenv("KUBECONFIG", str(tmp_path / "kubeconfig"))
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    yield made
    made.close()


@pytest.fixture
def executor(seaweedfs_url: str) -> dict[str, Any]:  # noqa: F811
    made = client(seaweedfs_url)
    if BUCKET not in {item["Name"] for item in made.list_buckets()["Buckets"]}:
        made.create_bucket(Bucket=BUCKET)
    return {
        "type": "kubernetes", "image": "example.org/mlctl:1", "cpus": 1, "memory": "1Gi",
        "storage": {"url": f"s3://{BUCKET}/{uuid4().hex}", "endpoint_url": seaweedfs_url},
        "secrets": {"AWS_ACCESS_KEY_ID": "bucket-keys/id", "AWS_SECRET_ACCESS_KEY": "bucket-keys/key"},
    }  # fmt: skip


def bucket(project: Project, address: str, **changed: Any) -> Objects:
    """The place of a training in the bucket."""
    from mlctl.providers.torch.render import train_job

    job = train_job(project.desired(address, **changed), project.ctx)
    return Objects(job_place(job.executor.storage, job.tracking))  # type: ignore[union-attr]


def kept(objects: Objects) -> list[str]:
    """The checkpoints in the bucket that count."""
    return [name for name in objects.names("checkpoints/") if name.count("/") == 1 and name.endswith(".json")]


def the_pod(cluster: Cluster, index: int = 0) -> Pod:
    (pods,) = cluster.pods.values()
    return pods[index]


def same(found: Record, reference: Record) -> bool:
    return found.outputs["metrics"] == reference.outputs["metrics"]


@pytest.mark.soak
def test_a_pod_trains_the_model_that_this_machine_would(
    project: Project, reference: Record, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    changed = {**slow, "executor": executor}
    found = project.train("training.away", **changed)
    assert found.outputs["digest"] == reference.outputs["digest"]
    assert same(found, reference)
    folder = project.ctx.folder(found.key)
    rendered = json.loads((folder / "kubernetes.json").read_text())
    assert [item["kind"] for item in rendered] == ["Job"]
    assert not any(value in json.dumps(rendered) for value in KEYS.values() if "secret" in value)
    assert "epoch 4" in (folder / "events.jsonl").read_text()
    objects = bucket(project, "training.away", **changed)
    assert len(kept(objects)) == 2
    assert all(name.startswith("checkpoints/") for name in objects.names())  # the rest was only on its way
    again = project.train("training.away", **changed)
    assert again.outputs == found.outputs
    assert len(cluster.pods) == 1


@pytest.mark.soak
def test_two_nodes_without_a_shared_disk_keep_whole_checkpoints_and_go_on_after_a_death(
    project: Project, reference: Record, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    model = {**slow["model"], "params": {"seconds": 0.4}}  # time to be killed in
    changed = {**slow, "model": model, "executor": {**executor, "nodes": 2}}
    objects = bucket(project, "training.two", **changed)
    thread, errors = in_background(lambda: project.train("training.two", **changed))
    wait_for(lambda: bool(kept(objects)), 120)
    first = the_pod(cluster, 1)
    os.killpg(first.process.pid, signal.SIGKILL)
    thread.join()
    assert not errors
    assert the_pod(cluster, 1) is not first
    assert same(project.train("training.two", **changed), reference)
    facts = json.loads(objects.get(kept(objects)[-1]) or b"{}")
    assert facts["layout"]["world"] == 2
    services = [
        item for kind, item in ((key[0], value) for key, value in cluster.objects.items()) if kind == "services"
    ]
    assert [item["metadata"]["ownerReferences"][0]["kind"] for item in services] == ["Job"]


@pytest.mark.soak
def test_a_stop_leaves_a_checkpoint_in_the_bucket_and_the_next_apply_goes_on_from_it(
    project: Project, reference: Record, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    changed = {**slow, "executor": executor}
    objects = bucket(project, "training.halted", **changed)
    ctx, stop = context_with_stop(project.ctx)
    desired = project.desired("training.halted", **changed)
    thread, errors = in_background(lambda: project.training.apply(desired, None, ctx))
    wait_for(lambda: bool(kept(objects)), 120)
    stop.set()
    thread.join()
    assert [error.exit_code for error in errors] == [ExitCode.INTERRUPTED]
    wait_for(lambda: the_pod(cluster).process.poll() is not None)
    assert the_pod(cluster).process.returncode == 0
    seen = project.training.read(project.pending("training.halted", **changed), project.ctx)
    assert seen is not None
    assert (seen.condition, seen.detail[:5]) == (Condition.RESUMABLE, "step ")
    found = project.train("training.halted", **changed)
    assert same(found, reference)
    assert len(cluster.pods) == 2
    assert "resumed" in (project.ctx.folder(found.key) / "ranks.jsonl").read_text()


@pytest.mark.soak
def test_a_budget_ends_a_pod_with_a_checkpoint_and_a_larger_one_goes_on_from_it(
    project: Project, reference: Record, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    model = {**slow["model"], "params": {"seconds": 0.6}}  # longer than it may take
    changed = {**slow, "model": model, "executor": executor}
    objects = bucket(project, "training.dear", **changed)
    whole = project.ctx
    project.ctx = replace(whole, settings={"budget": {"max_hours": 14 / 3600}})
    with pytest.raises(MlctlError) as caught:
        project.train("training.dear", **changed)
    assert caught.value.diagnostics[0].code == "budget.reached"
    assert kept(objects)
    (job,) = [item for key, item in cluster.objects.items() if key[0] == "jobs"]
    assert job["spec"]["activeDeadlineSeconds"] == 14 + 180
    wait_for(lambda: the_pod(cluster).process.poll() is not None)
    assert the_pod(cluster).process.returncode == 0  # else it would be started anew
    assert sum(cluster.failures.values()) == 0
    project.ctx = whole
    found = project.train("training.dear", **changed)
    assert same(found, reference)
    actual: Any = found.outputs["estimate"]
    assert actual["actual"]["held_seconds"] > actual["actual"]["seconds"]


@pytest.mark.soak
def test_a_training_goes_on_without_mlctl_and_the_next_apply_takes_its_model(
    project: Project, reference: Record, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    changed = {**slow, "executor": executor}
    objects = bucket(project, "training.alone", **changed)
    thread, errors = in_background(lambda: project.train("training.alone", **changed))
    wait_for(lambda: bool(kept(objects)), 120)
    kill_session(project.folder("training.alone", **changed))
    thread.join()
    assert [error.diagnostics[0].code for error in errors] == ["job.died"]
    time.sleep(1)
    assert the_pod(cluster).process.poll() in (None, 0)  # it runs, or has come to its end by itself
    assert same(project.train("training.alone", **changed), reference)
    assert len(cluster.pods) == 1


@pytest.mark.soak
def test_an_error_of_the_model_is_told_with_its_words_and_is_not_tried_again(
    project: Project, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any]
) -> None:
    changed = {**slow, "model": {"type": "python", "entrypoint": "src/model.py:broken"}, "executor": executor}
    with pytest.raises(MlctlError) as caught:
        project.train("training.wrong", **changed)
    assert caught.value.diagnostics[0].code == "training.rank-failed"
    assert "the flux capacitor is empty" in caught.value.diagnostics[0].summary
    assert sum(cluster.failures.values()) == 0


def test_a_bucket_without_keys_is_told_before_anything_is_asked_of_the_cluster(
    project: Project, slow: dict[str, Any], cluster: Cluster, executor: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wrong")
    with pytest.raises(MlctlError) as caught:
        project.train("training.keyless", **{**slow, "executor": executor})
    assert caught.value.diagnostics[0].code == "storage.denied"
    assert not cluster.requests
    assert Storage(url="s3://x").region is None
