"""The cache of digests is only ever an accelerator: whatever stands in it, the answer is right."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlctl.files.digests import FileDigests

ROOT = Path(__file__).parents[3]


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100)
    later = time.time_ns() + 10_000_000_000
    monkeypatch.setattr("mlctl.files.digests.time.time_ns", lambda: later)  # old enough to be remembered
    return path


def cached(path: Path, text: bytes) -> str:
    """What the digest of a file is with this cache."""
    path.write_bytes(text)
    return FileDigests(path).file(path.with_name("data"))


@pytest.fixture
def cache(data: Path, tmp_path: Path) -> Path:
    path = tmp_path / "cache"
    digests = FileDigests(path)
    digests.file(data)
    digests.save()
    return path


def test_an_unchanged_file_is_not_read_again(cache: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mlctl.files.digests._read", lambda name, size: pytest.fail(f"{name} was read"))
    assert len(FileDigests(cache).file(data)) == 64


def test_a_changed_file_is_read_again(cache: Path, data: Path) -> None:
    before = FileDigests(cache).file(data)
    data.write_bytes(b"y" * 100)
    assert FileDigests(cache).file(data) not in (before, "")


def test_a_cache_in_which_any_byte_was_changed_counts_as_empty(cache: Path, data: Path) -> None:
    whole, right = cache.read_bytes(), FileDigests().file(data)
    assert right.encode() in whole
    for place in range(0, len(whole), 7):
        damaged = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        assert cached(cache, damaged) == right, place
        assert cached(cache, whole[:place]) == right, place
    lie = whole.replace(right.encode(), b"0" * 64)
    assert cached(cache, lie) == right


@pytest.mark.parametrize("text", [b"", b"[]", b"mlctl digests 2 \n", b"mlctl digests 2 x\na\tb\tc\n", b"\xff\xfe" * 50])
def test_a_cache_that_is_no_cache_counts_as_empty(tmp_path: Path, data: Path, text: bytes) -> None:
    assert cached(tmp_path / "cache", text) == FileDigests().file(data)


@pytest.mark.parametrize("name", ["caf\u00e9 \u4f60.csv", "a\tb", "a\nb", "\udcff"])
def test_any_name_can_be_digested_and_nothing_else_is_forgotten_for_it(cache: Path, data: Path, name: str) -> None:
    odd = data.with_name(name)
    odd.write_bytes(b"odd")
    digests = FileDigests(cache)
    expected = [digests.file(odd), digests.file(data)]
    digests.save()
    again = FileDigests(cache)
    assert [again.file(odd), again.file(data)] == expected


def test_several_files_are_digested_in_their_order(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    one = FileDigests()
    assert one.files(["b", "a"], tmp_path) == [one.file(tmp_path / "b"), one.file(tmp_path / "a")]


def test_a_large_file_has_the_same_digest_however_it_is_read(tmp_path: Path) -> None:
    from blake3 import blake3

    for size in (0, 100, (1 << 20) + 3, (16 << 20) + 5):
        path = tmp_path / str(size)
        path.write_bytes(os.urandom(1024) * (size // 1024 + 1))
        os.truncate(path, size)
        assert FileDigests().file(path) == blake3(path.read_bytes()).hexdigest(), size


def test_a_file_that_is_cut_short_while_it_is_read_does_not_end_the_command(tmp_path: Path) -> None:
    program = (
        "import os, sys, threading, time\n"
        "from pathlib import Path\n"
        "from mlctl.files.digests import FileDigests\n"
        "path = Path(sys.argv[1])\n"
        "path.touch()\n"
        "os.truncate(path, 1 << 30)\n"
        "threading.Timer(0.05, os.truncate, (path, 10)).start()\n"
        "FileDigests().file(path)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, str(tmp_path / "data")], check=False, cwd=ROOT)
    assert done.returncode == 0  # a map of the file ends the process by SIGBUS, without a word
