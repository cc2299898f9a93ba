"""The cache of digests is only ever an accelerator: whatever stands in it, the answer is right."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from mlctl.files.digests import FileDigests


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "data"
    path.write_bytes(b"x" * 100)
    later = time.time_ns() + 10_000_000_000
    monkeypatch.setattr("mlctl.files.digests.time.time_ns", lambda: later)  # old enough to be remembered
    return path


def stamp(path: Path) -> list[int]:
    status = os.stat(path)
    return [status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


@pytest.mark.parametrize(
    "entry",
    [5, 0.5, None, "x", [], [[]], {}, {"0": 1}, [5, "x"], [[1, 2, 3, 4]], [None, None], [[1, 2, 3, 1e400], "x"]],
)
def test_an_entry_of_another_shape_is_not_used_and_does_not_stay(tmp_path: Path, data: Path, entry: Any) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(json.dumps({str(data): entry, "/other": entry}))
    digests = FileDigests(cache)
    right = digests.file(data)
    assert right == FileDigests().file(data)
    digests.save()
    assert json.loads(cache.read_text()) == {str(data): [stamp(data), right]}


def test_a_stamp_that_matches_with_a_digest_that_is_none_is_not_used(tmp_path: Path, data: Path) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(json.dumps({str(data): [stamp(data), {"a": 1}]}))
    assert FileDigests(cache).file(data) == FileDigests().file(data)


@pytest.mark.parametrize("text", ["", "[]", "5", "{", "[" * 100_000, '{"a": ' * 100_000])
def test_a_cache_that_is_no_cache_counts_as_empty(tmp_path: Path, data: Path, text: str) -> None:
    cache = tmp_path / "cache.json"
    cache.write_text(text)
    assert FileDigests(cache).file(data) == FileDigests().file(data)
