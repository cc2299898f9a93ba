"""Rewards of days that are over take less room, and none of them is lost by it."""

from __future__ import annotations

import gzip
import os
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from mlctl.runtime.controller.ledger import Ledger, Reward
from tests.unit.runtime.controller.test_rewards import DAY, NOW, logged, take

LATER = NOW + 2 * DAY
TODAY = f"{datetime.fromtimestamp(NOW, UTC):%Y-%m-%d}.jsonl"


def opened(root: Path) -> Ledger:
    return Ledger(root / "rewards", lambda: [root / "log"], 30 * DAY)


def kept_days(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "rewards").glob("*.jsonl*"))


def begun(root: Path) -> Ledger:
    """A ledger with two rewards, of which one is matched."""
    logged(root / "log", "one")
    ledger = opened(root)
    ledger.update(NOW)
    assert [take(ledger, "one"), take(ledger, "two")] == ["matched", "waiting"]
    return ledger


def test_a_day_that_is_over_is_packed_and_holds_all_that_it_held(tmp_path: Path) -> None:
    ledger = begun(tmp_path)
    ledger.update(NOW + 1)
    plain = (tmp_path / "rewards" / TODAY).read_bytes()
    ledger.update(LATER)
    assert kept_days(tmp_path) == [f"{TODAY}.gz"]
    packed = tmp_path / "rewards" / f"{TODAY}.gz"
    assert gzip.decompress(packed.read_bytes()) == plain
    assert packed.stat().st_mode & 0o777 == 0o600
    assert ledger.by_version()["a", "1"].number == 1
    ledger.close()


@pytest.mark.parametrize("lost", ["nothing", "index"])
def test_a_packed_day_counts_once_whether_the_index_is_there_or_made_again(tmp_path: Path, lost: str) -> None:
    ledger = begun(tmp_path)
    ledger.update(LATER)
    ledger.close()
    if lost == "index":
        for path in (tmp_path / "rewards").glob("index.sqlite*"):
            path.unlink()
    again = opened(tmp_path)
    again.update(LATER)
    assert again.by_version()["a", "1"].number == 1
    assert take(again, "one", at=LATER) == "duplicate"
    again.close()


def test_a_kill_between_the_packed_file_and_the_end_of_the_plain_one_counts_nothing_twice(tmp_path: Path) -> None:
    ledger = begun(tmp_path)
    plain = tmp_path / "rewards" / TODAY
    before = plain.read_bytes()
    ledger.update(LATER)
    ledger.close()
    plain.write_bytes(before)
    for path in (tmp_path / "rewards").glob("index.sqlite*"):
        path.unlink()
    again = opened(tmp_path)
    assert again.counted()["duplicate"] == 0
    again.update(LATER)
    assert (again.by_version()["a", "1"].number, kept_days(tmp_path)) == (1, [f"{TODAY}.gz"])
    again.close()


def test_a_disk_that_refuses_leaves_the_day_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ledger = begun(tmp_path)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as context:
        context.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            ledger.update(LATER)
    assert kept_days(tmp_path) == [TODAY]
    ledger.update(LATER)
    assert kept_days(tmp_path) == [f"{TODAY}.gz"]
    assert ledger.take([Reward("one", 1.0, time.time())]) == ["duplicate"]
    ledger.close()
