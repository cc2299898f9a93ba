"""Copies of checkpoints in a bucket, on a server in this process and on a real one."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from mlctl.runtime.trainer.checkpoint import Checkpoints
from mlctl.runtime.trainer.objects import Objects
from mlctl.runtime.trainer.storage import CheckpointCopies, fetch_newest
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.recipe import Storage
from mlctl.types.state import Record
from tests.integration.state.conftest import BUCKET, KEYS, client, moto_url, seaweedfs_url, url  # noqa: F401
from tests.integration.training.project import Project, context_with_stop, in_background, wait_for

pytestmark = pytest.mark.tools
LARGE = 40 << 20  # bytes: three parts of an upload


@pytest.fixture
def objects(url: str, monkeypatch: pytest.MonkeyPatch) -> Objects:  # noqa: F811
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = client(url)
    if BUCKET not in {item["Name"] for item in made.list_buckets()["Buckets"]}:
        made.create_bucket(Bucket=BUCKET)
    return Objects(Storage(url=f"s3://{BUCKET}/{uuid4().hex}", endpoint_url=url))


def save(folder: Path, step: int, size: int = 1000) -> None:
    """A checkpoint as ranks leave it: two files, one of them in a folder."""
    checkpoints = Checkpoints(folder, keep=2)
    staged = checkpoints.stage(step)
    (staged / "model.bin").write_bytes(os.urandom(size))
    (staged / "shards").mkdir()
    (staged / "shards" / "0.bin").write_bytes(bytes([step % 256]) * 100)
    checkpoints.commit(step, 100, 1)


def counted(objects: Objects) -> list[str]:
    return [name.removesuffix(".json") for name in objects.names() if name.endswith(".json")]


def step(number: int) -> str:
    return f"step-{number:010d}"


def test_the_newest_checkpoints_are_copied_and_older_ones_dropped(objects: Objects, tmp_path: Path) -> None:
    copies = CheckpointCopies(objects, tmp_path / "here", 2, print)
    copies.start()
    for number in (10, 20, 30):
        save(tmp_path / "here", number)
        wait_for(lambda number=number: step(number) in counted(objects), 30)  # type: ignore[misc]
    save(tmp_path / "here", 40, LARGE)
    assert copies.close(60) is None  # the last one was flushed
    assert counted(objects) == [step(30), step(40)]
    assert {name.partition("/")[0].removesuffix(".json") for name in objects.names()} == {step(30), step(40)}
    assert fetch_newest(objects, tmp_path / "there", print) == step(40)
    for name in ("model.bin", "shards/0.bin"):
        assert (tmp_path / "there" / step(40) / name).read_bytes() == (tmp_path / "here" / step(40) / name).read_bytes()
    found = Checkpoints(tmp_path / "there", keep=2).newest()
    assert found is not None
    assert found.name == step(40)
    assert fetch_newest(objects, tmp_path / "there", print) is None  # it is there


def test_a_damaged_copy_does_not_count_and_the_one_before_it_is_fetched(objects: Objects, tmp_path: Path) -> None:
    copies = CheckpointCopies(objects, tmp_path / "here", 2, print)
    for number in (10, 20):
        save(tmp_path / "here", number)
        copies.copy_newest()
    objects.put(f"{step(20)}/model.bin", b"rotten")
    told: list[str] = []
    assert fetch_newest(objects, tmp_path / "there", told.append) == step(10)
    assert any(step(20) in line and "damaged" in line for line in told)
    assert counted(objects) == [step(10)]


def test_what_is_damaged_here_is_fetched_again(objects: Objects, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    save(folder, 10)
    CheckpointCopies(objects, folder, 2, print).copy_newest()
    (folder / step(10) / "model.bin").write_bytes(b"rotten")
    assert fetch_newest(objects, folder, print) == step(10)
    found = Checkpoints(folder, keep=2).newest()
    assert found is not None
    assert found.name == step(10)


COPY = """
import sys
from pathlib import Path
from mlctl.runtime.trainer.objects import Objects
from mlctl.runtime.trainer.storage import CheckpointCopies
from mlctl.types.jobs.recipe import Storage
from mlctl.types.state import Record
url, endpoint, folder = sys.argv[1:]
copies = CheckpointCopies(Objects(Storage(url=url, endpoint_url=endpoint)), Path(folder), 2, print)
print("ready", flush=True)
copies.copy_newest()
"""


def test_a_kill_in_the_middle_of_a_copy_leaves_the_one_before_it(objects: Objects, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    save(folder, 10)
    CheckpointCopies(objects, folder, 2, print).copy_newest()
    save(folder, 20, 4 * LARGE)
    arguments = [objects.storage.url, str(objects.storage.endpoint_url), str(folder)]
    process = subprocess.Popen([sys.executable, "-c", COPY, *arguments], stdout=subprocess.PIPE)
    assert process.stdout is not None
    process.stdout.readline()
    time.sleep(0.35)
    process.send_signal(signal.SIGKILL)
    process.wait()
    process.stdout.close()
    assert counted(objects) == [step(10)]
    assert fetch_newest(objects, tmp_path / "there", print) == step(10)
    copies = CheckpointCopies(objects, folder, 2, print)
    copies.start()  # by the next try, which gives up what was half sent
    assert copies.close(60) is None
    assert counted(objects) == [step(10), step(20)]
    made = client(str(objects.storage.endpoint_url))
    prefix = objects.storage.url.removeprefix(f"s3://{BUCKET}/")
    assert not made.list_multipart_uploads(Bucket=BUCKET, Prefix=prefix).get("Uploads")
    shutil.rmtree(tmp_path / "there")
    assert fetch_newest(objects, tmp_path / "there", print) == step(20)


def test_two_that_copy_the_same_training_leave_whole_copies(objects: Objects, tmp_path: Path) -> None:
    folder = tmp_path / "here"
    save(folder, 10, LARGE)
    both = [CheckpointCopies(Objects(objects.storage), folder, 2, print) for _ in range(2)]
    for copies in both:
        copies.start()
    save(folder, 20, LARGE)
    assert [copies.close(60) for copies in both] == [None, None]
    assert fetch_newest(objects, tmp_path / "there", print) == step(20)


def denied(objects: Objects, patch: pytest.MonkeyPatch) -> Objects:
    for name in KEYS:
        patch.delenv(name)
    patch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    patch.setenv("AWS_CONFIG_FILE", os.devnull)
    patch.setenv("AWS_SHARED_CREDENTIALS_FILE", os.devnull)
    return Objects(objects.storage)


def missing(objects: Objects, patch: pytest.MonkeyPatch) -> Objects:
    return Objects(objects.storage.model_copy(update={"url": "s3://no-such-bucket-here/x"}))


@pytest.mark.parametrize(("spoilt", "code"), [(denied, "storage.denied"), (missing, "storage.missing-bucket")])
def test_a_bucket_that_cannot_be_used_is_told_before_anything_is_trained(
    objects: Objects,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    spoilt: Callable[[Objects, pytest.MonkeyPatch], Objects],
    code: str,
) -> None:
    with pytest.raises(MlctlError) as caught:
        CheckpointCopies(spoilt(objects, monkeypatch), tmp_path, 2, print).start()
    assert caught.value.diagnostics[0].code == code
    assert not any(secret in str(caught.value.diagnostics) for secret in KEYS.values() if "secret" in secret)


def test_a_server_that_is_away_is_told_once_and_the_training_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    away = Objects(Storage(url=f"s3://{BUCKET}/x", endpoint_url="http://127.0.0.1:9"))
    told: list[str] = []
    save(tmp_path, 10)
    copies = CheckpointCopies(away, tmp_path, 2, told.append)
    copies.start()
    late = copies.close(3)
    assert late is not None
    assert late.diagnostics[0].code == "storage.unreachable"
    assert len(told) == 1


@pytest.mark.soak
@pytest.mark.slow
def test_a_training_goes_on_from_the_bucket_on_a_machine_that_has_nothing(
    project: Project,
    reference: Record,
    slow: dict[str, Any],
    moto_url: str,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in KEYS.items():
        monkeypatch.setenv(name, value)
    made = client(moto_url)
    if BUCKET not in {item["Name"] for item in made.list_buckets()["Buckets"]}:
        made.create_bucket(Bucket=BUCKET)
    place = {"storage": f"s3://{BUCKET}/{uuid4().hex}", "s3": {"endpoint_url": moto_url}}
    model = {**slow["model"], "params": {"seconds": 0.3}}  # time to be stopped in
    changed = {**slow, "model": model, "checkpoint": {**slow["checkpoint"], **place}}
    folder = project.folder("training.moved", **changed)
    ctx, stop = context_with_stop(project.ctx)
    desired = project.desired("training.moved", **changed)
    thread, _ = in_background(lambda: project.training.apply(desired, None, ctx))
    wait_for(lambda: any((folder / "checkpoints").glob("step-*.json")), 120)
    stop.set()
    thread.join()
    shutil.rmtree(folder)
    found = project.train("training.moved", **changed)
    assert found.outputs["metrics"] == reference.outputs["metrics"]
    told = (folder / "events.jsonl").read_text()
    assert "fetching the checkpoint" in told
    assert '"resumed"' in (folder / "ranks.jsonl").read_text()
    keys = [
        item["Key"]
        for item in made.list_objects_v2(Bucket=BUCKET, Prefix=place["storage"][6 + len(BUCKET) :])["Contents"]
    ]
    assert {key.split("/")[2] for key in keys} == {"training.moved"}
    assert {
        name.partition("/")[0].removesuffix(".json") for name in (key.split("/checkpoints/")[1] for key in keys)
    } == {path.stem for path in (folder / "checkpoints").glob("step-*.json")}
