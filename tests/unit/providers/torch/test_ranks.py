from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.providers.torch.ranks import rank_logs


def write(folder: Path, name: str, text: str = "hello\n", at: float | None = None) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    if at is not None:
        os.utime(path, (at, at))
    return path


def test_of_several_attempts_the_last_one_counts(tmp_path: Path) -> None:
    write(tmp_path, "log.txt")
    write(tmp_path, "ranks/a/attempt_0/1/stderr.log", at=100)
    newest = [write(tmp_path, f"ranks/b/attempt_0/1/{name}.log", at=200) for name in ("stderr", "stdout")]
    write(tmp_path, "ranks/b/attempt_0/0/stderr.log", at=300)
    assert rank_logs(tmp_path, 1) == newest


def test_a_stream_that_nothing_was_written_to_is_left_out(tmp_path: Path) -> None:
    write(tmp_path, "ranks/a/attempt_0/1/stdout.log", "")
    wanted = write(tmp_path, "ranks/a/attempt_0/1/stderr.log")
    assert rank_logs(tmp_path, 1) == [wanted]


@pytest.mark.parametrize(("rank", "files"), [(0, ["log.txt"]), (1, [])])
def test_a_training_of_one_process_has_one_log(tmp_path: Path, rank: int, files: list[str]) -> None:
    write(tmp_path, "log.txt")
    assert [path.name for path in rank_logs(tmp_path, rank)] == files


def test_of_a_search_the_last_trial_counts(tmp_path: Path) -> None:
    write(tmp_path, "trials/0000/ranks/a/attempt_0/1/stderr.log", at=300)
    wanted = write(tmp_path, "trials/0001/ranks/a/attempt_0/1/stderr.log", at=200)
    assert rank_logs(tmp_path, 1) == [wanted]
