"""Logs that are kept short."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest

from mlctl.processes import logs


def test_a_long_log_begins_anew_and_what_it_had_is_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text("first\n")
    assert logs.cap(path, 5)
    assert (path.read_text(), (tmp_path / "log.old.txt").read_text()) == ("", "first\n")
    assert stat.S_IMODE((tmp_path / "log.old.txt").stat().st_mode) == 0o600
    path.write_text("second\n")
    assert logs.cap(path, 5)
    assert (tmp_path / "log.old.txt").read_text() == "second\n"
    assert sorted(item.name for item in tmp_path.iterdir()) == ["log.old.txt", "log.txt"]


def test_who_has_the_log_open_goes_on_writing_to_it(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    with open(path, "ab", buffering=0) as program:
        program.write(b"before\n")
        assert logs.cap(path, 5)
        program.write(b"after\n")
    assert path.read_bytes() == b"after\n"


def test_a_short_log_and_one_that_is_not_there_are_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    assert not logs.cap(path)
    path.write_text("short\n")
    assert not logs.cap(path)
    assert [item.name for item in tmp_path.iterdir()] == ["log.txt"]


def test_a_disk_that_refuses_leaves_the_log_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "log.txt"
    path.write_text("first\n")

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        logs.cap(path, 5)
    assert [(item.name, item.read_text()) for item in tmp_path.iterdir()] == [("log.txt", "first\n")]
