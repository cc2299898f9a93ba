"""Atomic writes, locks, digests and the code closure."""

import errno
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from mlctl.files import atomic
from mlctl.files.closure import code_closure
from mlctl.files.digests import FileDigests
from mlctl.files.lock import FileLock, is_locked


def test_a_write_replaces_the_whole_file_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    path = tmp_path / "f"
    atomic.write_bytes(path, b"one")
    atomic.write_bytes(path, b"two")
    assert path.read_bytes() == b"two"
    assert os.listdir(tmp_path) == ["f"]


def test_a_failed_write_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "f"
    atomic.write_json(path, {"a": 1})
    with pytest.raises(ValueError, match="Out of range"):
        atomic.write_json(path, {"a": float("nan")})
    assert path.read_text() == '{\n "a": 1\n}\n'
    assert os.listdir(tmp_path) == ["f"]


def test_a_full_disk_is_told_with_the_file_that_was_to_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left") as found:
        atomic.write_bytes(tmp_path / "a.txt", b"x")
    assert found.value.filename == str(tmp_path / "a.txt")
    assert list(tmp_path.iterdir()) == []


def test_a_lock_goes_with_its_holder(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    program = (
        "import sys, time; from pathlib import Path; from mlctl.files.lock import FileLock;"
        "lock = FileLock(Path(sys.argv[1])); lock.acquire(); print('held', flush=True); time.sleep(60)"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        held = process.stdout.readline()
        assert held == b"held\n"
        assert is_locked(path)
        assert not FileLock(path).acquire()
        process.kill()
        process.wait()
    assert not is_locked(path)


def test_looking_at_a_lock_never_keeps_anyone_from_taking_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    path.touch()
    program = (
        "import sys; from pathlib import Path; from mlctl.files.lock import is_locked\n"
        "print('looking', flush=True)\nwhile True: is_locked(Path(sys.argv[1]))"
    )
    with subprocess.Popen([sys.executable, "-c", program, str(path)], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        refused = seen = 0
        until = time.monotonic() + 1
        while time.monotonic() < until:
            lock = FileLock(path)
            refused += not lock.acquire()
            lock.release()
            seen += is_locked(path)
        process.kill()
    assert (refused, seen) == (0, 0)


def test_an_unchanged_file_is_not_read_again(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 1000)
    os.utime(path, (1, 1))
    while time.time_ns() - path.stat().st_ctime_ns < 2_100_000_000:
        time.sleep(0.1)
    first = FileDigests(tmp_path / "cache.json")
    value = first.file(path)
    first.save()
    os.chmod(path, 0o600)  # ctime moves, so this is read; then the cache must hold it without the file's bytes
    again = FileDigests(tmp_path / "cache.json")
    assert again.file(path) == value


def test_the_digest_follows_the_content_and_not_the_time(tmp_path: Path) -> None:
    path = tmp_path / "data"
    path.write_bytes(b"one")
    digests = FileDigests()
    first = digests.file(path)
    os.utime(path, (10, 10))
    assert digests.file(path) == first
    path.write_bytes(b"two")
    assert digests.file(path) != first
    path.write_bytes(b"one")
    assert digests.file(path) == first


def test_a_tree_depends_on_names_and_contents_and_not_on_the_order(tmp_path: Path) -> None:
    for name in "ab":
        (tmp_path / name).write_text(name)
    digests = FileDigests()
    both = [tmp_path / "a", tmp_path / "b"]
    assert digests.tree(both, tmp_path) == digests.tree(both[::-1], tmp_path)
    (tmp_path / "b").rename(tmp_path / "c")
    assert digests.tree([tmp_path / "a", tmp_path / "c"], tmp_path) != digests.tree([tmp_path / "a"], tmp_path)


def test_a_cache_that_is_damaged_is_only_slower(tmp_path: Path) -> None:
    (tmp_path / "cache.json").write_text("{")
    (tmp_path / "data").write_text("x")
    assert len(FileDigests(tmp_path / "cache.json").file(tmp_path / "data")) == 64


def test_the_code_closure_follows_imports_inside_the_project(tmp_path: Path) -> None:
    src = tmp_path / "src"
    (src / "pkg").mkdir(parents=True)
    (src / "train.py").write_text("import json\nimport helper\nfrom pkg import deep\nfrom pkg.other import x\n")
    (src / "helper.py").write_text("")
    (src / "unused.py").write_text("")
    (src / "pkg" / "__init__.py").write_text("")
    (src / "pkg" / "deep.py").write_text("from . import other\n")
    (src / "pkg" / "other.py").write_text("import helper\n")
    found = {path.relative_to(src).as_posix() for path in code_closure(src / "train.py", tmp_path)}
    assert found == {"train.py", "helper.py", "pkg/__init__.py", "pkg/deep.py", "pkg/other.py"}


def test_the_code_closure_stays_in_the_project(tmp_path: Path) -> None:
    (tmp_path / "outside.py").write_text("")
    root = tmp_path / "project"
    root.mkdir()
    (root / "train.py").write_text("from .. import outside\n")
    assert code_closure(root / "train.py", root) == [root.resolve() / "train.py"]
