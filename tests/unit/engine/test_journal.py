"""The journal keeps every line it said it kept, and drops what a kill cut off."""

import errno
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from mlctl.engine import journal
from mlctl.engine.journal import Entry, Journal
from mlctl.types.address import ObjectKey
from mlctl.types.state import Pending, Record

KEYS = [ObjectKey.parse(f"builds.a{number}#{number:04x}") for number in range(4)]


def written(path: Path) -> bytes:
    log = Journal(path, "lineage", 3)
    log.append(Entry(((KEYS[0], Record(KEYS[0], pending=Pending.APPLY, sequence=1)),)))
    log.append(Entry(((KEYS[0], Record(KEYS[0], id="zero", outputs={"digest": "d"}, sequence=2)),)))
    log.append(Entry(((KEYS[1], None),)))
    log.append(Entry(((KEYS[2], Record(KEYS[2], id="two", sequence=3)),)))
    log.close()
    return path.read_bytes()


def test_what_was_appended_is_read_back(tmp_path: Path) -> None:
    written(tmp_path / "j")
    entries = journal.read(tmp_path / "j")
    assert entries is not None
    assert (entries.lineage, entries.serial, entries.damaged) == ("lineage", 3, 0)
    assert [key for key, _ in entries.records] == [KEYS[0], KEYS[0], KEYS[1], KEYS[2]]
    assert entries.records[1][1] == Record(KEYS[0], id="zero", outputs={"digest": "d"}, sequence=2)
    assert entries.records[2][1] is None


def test_nothing_is_written_until_something_is_appended(tmp_path: Path) -> None:
    log = Journal(tmp_path / "j", "lineage", 0)
    log.close()
    assert not (tmp_path / "j").exists()
    assert not log.begun
    assert journal.read(tmp_path / "j") is None


def test_every_truncation_of_the_last_line_keeps_the_lines_before_it(tmp_path: Path) -> None:
    data = written(tmp_path / "j")
    start = data.rindex(b"\n", 0, -1) + 1
    for end in range(start, len(data) - 1):
        (tmp_path / "cut").write_bytes(data[:end])
        entries = journal.read(tmp_path / "cut")
        assert entries is not None
        assert entries.damaged == 0
        assert len(entries.records) == 3


def test_every_flipped_byte_of_the_last_line_keeps_the_lines_before_it(tmp_path: Path) -> None:
    data = written(tmp_path / "j")
    start = data.rindex(b"\n", 0, -1) + 1
    for place in range(start, len(data)):
        for bit in range(8):
            flipped = bytearray(data)
            flipped[place] ^= 1 << bit
            (tmp_path / "flipped").write_bytes(flipped)
            entries = journal.read(tmp_path / "flipped")
            assert entries is not None
            assert [key for key, _ in entries.records[:3]] == [KEYS[0], KEYS[0], KEYS[1]]
            assert all(record is None or record.key in KEYS for _, record in entries.records)


def test_a_damaged_line_inside_is_counted(tmp_path: Path) -> None:
    data = written(tmp_path / "j")
    lines = data.split(b"\n")
    lines[2] = lines[2].replace(b"zero", b"xero")
    (tmp_path / "j").write_bytes(b"\n".join(lines))
    entries = journal.read(tmp_path / "j")
    assert entries is not None
    assert entries.damaged == 1
    assert len(entries.records) == 3


@given(data=st.binary(max_size=400))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200, deadline=None)
def test_any_bytes_are_read_without_an_error(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "any").write_bytes(data)
    journal.read(tmp_path / "any")


def test_a_second_writer_cannot_open_the_same_journal(tmp_path: Path) -> None:
    written(tmp_path / "j")
    with pytest.raises(FileExistsError):
        Journal(tmp_path / "j", "lineage", 3).append(Entry(((KEYS[0], None),)))


def fill_disk_at(monkeypatch: pytest.MonkeyPatch, *, room: int) -> None:
    """The next write takes `room` bytes and the one after it finds the disk full; then there is space again."""
    real = os.write
    left = [room, None]

    def write(handle: int, data: bytes) -> int:
        if not left:
            return real(handle, data)
        allowed = left.pop(0)
        if allowed is None:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(handle, data[:allowed])

    monkeypatch.setattr(os, "write", write)


@pytest.mark.parametrize("room", [1, 9, 30])
def test_a_line_that_found_no_room_does_not_take_the_next_one_with_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int
) -> None:
    log = Journal(tmp_path / "j", "lineage", 3)
    log.append(Entry(((KEYS[0], Record(KEYS[0], sequence=1)),)))
    fill_disk_at(monkeypatch, room=room)
    with pytest.raises(OSError, match="No space"):
        log.append(Entry(((KEYS[1], Record(KEYS[1], sequence=2)),)))
    log.append(Entry(((KEYS[2], Record(KEYS[2], sequence=3)),)))
    log.close()
    entries = journal.read(tmp_path / "j")
    assert entries is not None
    assert [key for key, _ in entries.records] == [KEYS[0], KEYS[2]]


def test_a_header_that_found_no_room_is_written_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    log = Journal(tmp_path / "j", "lineage", 3)
    fill_disk_at(monkeypatch, room=5)
    with pytest.raises(OSError, match="No space"):
        log.append(Entry(((KEYS[0], Record(KEYS[0], sequence=1)),)))
    assert not log.begun
    log.append(Entry(((KEYS[1], Record(KEYS[1], sequence=2)),)))
    log.close()
    entries = journal.read(tmp_path / "j")
    assert entries is not None
    assert [key for key, _ in entries.records] == [KEYS[1]]


def test_a_journal_whose_header_is_damaged_counts_all_its_lines(tmp_path: Path) -> None:
    data = written(tmp_path / "j")
    (tmp_path / "j").write_bytes(b"x" + data)
    entries = journal.read(tmp_path / "j")
    assert entries is not None
    assert (entries.records, entries.damaged) == ([], 5)
