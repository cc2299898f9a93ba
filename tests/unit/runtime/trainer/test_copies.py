"""Checkpoints that are copied, and files that are fetched, where one of them is not what it should be."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mlctl import __version__
from mlctl.runtime.trainer.executors.hosts import Probe
from mlctl.runtime.trainer.executors.parcel import receive
from mlctl.runtime.trainer.kill_test import whole_lines
from mlctl.runtime.trainer.storage import CheckpointCopies, newest_in
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.executors import SshAccess
from mlctl.types.jobs.recipe import Storage


class Bucket:
    """Objects in memory."""

    storage = Storage(url="s3://bucket/place")

    def __init__(self) -> None:
        self.kept: dict[str, bytes] = {}

    def names(self) -> dict[str, int]:
        return {name: len(data) for name, data in sorted(self.kept.items())}

    def put(self, name: str, data: bytes) -> None:
        self.kept[name] = data

    def put_file(self, name: str, path: Path) -> None:
        self.kept[name] = path.read_bytes()

    def get_file(self, name: str, path: Path) -> None:
        if name not in self.kept:
            raise FileNotFoundError(name)
        path.write_bytes(self.kept[name])

    def delete(self, names: list[str]) -> None:
        for name in names:
            self.kept.pop(name, None)


def note(folder: Path, step: int, *files: str, there: bool = True) -> str:
    name = f"step-{step:010d}"
    (folder / f"{name}.json").write_text(json.dumps({"step": step, "files": dict.fromkeys(files, "digest")}))
    if there:
        (folder / name).mkdir()
        for file in files:
            (folder / name / file).write_text(file)
    return name


def copies_of(bucket: Any, folder: Path) -> CheckpointCopies:
    return CheckpointCopies(bucket, folder, 2, print)


def test_the_note_of_a_checkpoint_on_other_machines_keeps_none_here_from_being_copied(tmp_path: Path) -> None:
    bucket = Bucket()
    here = note(tmp_path, 10, "model")
    note(tmp_path, 500, "model", there=False)  # of a cluster, where the training ran before
    copies_of(bucket, tmp_path).copy_newest()
    assert newest_in(tmp_path) == here
    assert sorted(bucket.kept) == [f"{here}.json", f"{here}/model"]


def test_a_checkpoint_with_a_lost_file_is_told_of_and_does_not_count(tmp_path: Path) -> None:
    bucket = Bucket()
    name = note(tmp_path, 10, "model", "optimizer")
    (tmp_path / name / "optimizer").unlink()
    with pytest.raises(MlctlError, match="cannot be read") as caught:
        copies_of(bucket, tmp_path).copy_newest()
    assert caught.value.diagnostics[0].code == "storage.unreadable"
    assert f"{name}.json" not in bucket.kept


def test_an_input_that_is_gone_is_said_and_not_tried_forever(tmp_path: Path) -> None:
    bucket: Any = Bucket()
    manifest = {"mlctl": __version__, "plan": {}, "files": {"<job>/table.bin": "0123"}}
    with pytest.raises(MlctlError, match="is gone") as caught:
        receive(bucket, manifest, tmp_path)
    assert caught.value.diagnostics[0].code == "training.remote-damaged"


def test_a_machine_without_ssh_is_told_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MlctlError, match="`ssh` is not installed"):
        Probe("node1", SshAccess(), tmp_path)


def test_a_line_that_a_kill_cut_short_does_not_end_the_test_of_kills() -> None:
    data = b'{"type": "st\n{"type": "resumed", "step": 5}\n[1]\n{"type": "step"'
    assert whole_lines(data) == [{"type": "resumed", "step": 5}]
