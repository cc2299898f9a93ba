from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from mlctl.files import atomic
from mlctl.runtime.trainer import checkpoint
from mlctl.runtime.trainer.checkpoint import Checkpoints, layout_of, note_layout
from mlctl.types.jobs.recipe import Layout


def save(folder: Path, step: int, *, keep: int = 2, content: bytes = b"weights" * 1000) -> Path:
    checkpoints = Checkpoints(folder, keep)
    stage = checkpoints.stage(step)
    (stage / "rank-0.bin").write_bytes(content + str(step).encode())
    (stage / "part").mkdir(exist_ok=True)
    (stage / "part" / "rank-1.bin").write_bytes(content)
    note_layout(stage, Layout(strategy="ddp", data=2))
    return checkpoints.commit(step, 30, 0)


def newest(folder: Path) -> str | None:
    found = Checkpoints(folder, 2).newest()
    return None if found is None else found.name


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_the_newest_are_kept_and_nothing_else_is_left(tmp_path: Path) -> None:
    assert newest(tmp_path / "none") is None
    for step in (10, 20, 30):
        save(tmp_path, step)
    assert names(tmp_path) == [
        "step-0000000020", "step-0000000020.json", "step-0000000030", "step-0000000030.json",
    ]  # fmt: skip
    assert newest(tmp_path) == "step-0000000030"


def test_what_is_noted_says_where_it_stands_and_how_it_was_made(tmp_path: Path) -> None:
    place = save(tmp_path, 10)
    noted = Checkpoints(tmp_path, 2).position(place)
    assert (noted["step"], noted["total"], noted["epoch"]) == (10, 30, 0)
    assert set(noted["files"]) == {"layout.json", "rank-0.bin", "part/rank-1.bin"}
    assert noted["layout"] == layout_of(place)
    assert noted["layout"] == {"strategy": "ddp", "data": 2, "tensor": 1, "pipeline": 1, "world": 2}


@pytest.mark.parametrize("damage", ["bit", "torn", "file gone", "note torn", "note gone", "folder gone"])
def test_a_damaged_checkpoint_does_not_count(tmp_path: Path, damage: str) -> None:
    save(tmp_path, 10)
    place = save(tmp_path, 20)
    note = place.with_name(f"{place.name}.json")
    path = place / "part" / "rank-1.bin"
    data = bytearray(path.read_bytes())
    if damage == "bit":
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    elif damage == "torn":
        path.write_bytes(data[:-1])
    elif damage == "file gone":
        path.unlink()
    elif damage == "note torn":
        note.write_bytes(note.read_bytes()[:-20])
    elif damage == "note gone":
        note.unlink()
    else:
        shutil.rmtree(place)
    assert newest(tmp_path) == "step-0000000010"
    save(tmp_path, 15)  # the steps are taken again, and what lies after them is of another past
    assert newest(tmp_path) == "step-0000000015"
    assert not any(name.startswith("step-0000000020") for name in names(tmp_path))


class Killed(BaseException):
    """Stands for SIGKILL: nothing of ours may run after it."""


_MOMENTS = [
    (checkpoint, "_sync"), (checkpoint, "_digest"), (os, "replace"), (atomic, "sync_folder"), (atomic, "write_json"), (shutil, "rmtree"),
]  # fmt: skip


@pytest.mark.parametrize(("module", "name"), _MOMENTS)
@pytest.mark.parametrize("call", range(3))
def test_a_kill_at_any_moment_leaves_a_whole_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: object, name: str, call: int
) -> None:
    save(tmp_path, 10, keep=1)
    original, calls = getattr(module, name), iter(range(100))

    def killed(*args: object, **more: object) -> object:
        if next(calls) == call:
            raise Killed
        return original(*args, **more)

    with monkeypatch.context() as patch:
        patch.setattr(module, name, killed)
        try:
            save(tmp_path, 20, keep=1)
        except Killed:
            pass
    assert newest(tmp_path) in ("step-0000000010", "step-0000000020")
    Checkpoints(tmp_path, 1).clear()
    save(tmp_path, 20, keep=1)  # the next try takes the same step
    assert newest(tmp_path) == "step-0000000020"
    save(tmp_path, 30, keep=1)
    assert names(tmp_path) == ["step-0000000030", "step-0000000030.json"]


def test_the_same_step_again_leaves_the_one_that_is_safe(tmp_path: Path) -> None:
    place = save(tmp_path, 10)
    before = (place / "rank-0.bin").stat().st_ino
    save(tmp_path, 10)
    assert (place / "rank-0.bin").stat().st_ino == before
    (place / "rank-0.bin").write_bytes(b"damaged")
    save(tmp_path, 10)
    assert newest(tmp_path) == "step-0000000010"
    assert names(tmp_path) == ["step-0000000010", "step-0000000010.json"]


def test_half_written_ones_are_cleared_and_others_are_not(tmp_path: Path) -> None:
    save(tmp_path, 10)
    (Checkpoints(tmp_path, 2).stage(20) / "rank-0.bin").write_bytes(b"half")
    (tmp_path / "notes.txt").write_text("mine")
    Checkpoints(tmp_path, 2).clear()
    assert names(tmp_path) == ["notes.txt", "step-0000000010", "step-0000000010.json"]
    assert json.loads((tmp_path / "step-0000000010.json").read_text())["step"] == 10
