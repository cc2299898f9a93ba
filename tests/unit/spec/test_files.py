from __future__ import annotations

import os
from pathlib import Path

import pytest

from mlctl.spec.files import SIZE_LIMIT, read_text
from mlctl.types.diagnostic import Diagnostic, MlctlError


def refused(path: Path) -> Diagnostic:
    with pytest.raises(MlctlError) as caught:
        read_text(path, "mlctl.yaml")
    (diagnostic,) = caught.value.diagnostics
    return diagnostic


def test_a_byte_order_mark_is_dropped(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfproject: caf\xc3\xa9\r\n")
    assert read_text(path, "a.yaml") == "project: café\r\n"


@pytest.mark.parametrize(
    ("data", "byte", "line", "column"),
    [
        (b"a: 1\nb: \xff", "0xff at offset 8", 2, 4),
        (b"\xe9", "0xe9 at offset 0", 1, 1),
        ("é: ü\r\nßß ".encode() + b"\x80 tail\nmore", "0x80 at offset 13", 2, 4),
        (b"\xef\xbb\xbfab\xc3", "0xc3 at offset 5", 1, 3),
    ],
)
def test_bytes_that_are_not_utf8_are_named_with_their_place(
    tmp_path: Path, data: bytes, byte: str, line: int, column: int
) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(data)
    found = refused(path)
    assert found.code == "spec.encoding"
    assert byte in found.summary
    assert found.where is not None
    assert (found.where.line, found.where.column) == (line, column)


def test_utf16_is_recognized(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes("project: x".encode("utf-16"))
    assert refused(path).why == "it begins like UTF-16"


def test_a_file_at_the_limit_is_read_and_one_byte_more_is_not(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_bytes(b"#" * SIZE_LIMIT)
    assert len(read_text(path, "a.yaml")) == SIZE_LIMIT
    path.write_bytes(b"#" * (SIZE_LIMIT + 1))
    found = refused(path)
    assert found.code == "spec.too-large"
    assert "5,000,001 bytes" in found.summary


def test_a_folder_a_pipe_and_nothing_at_all_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path, tmp_path / "pipe", tmp_path / "nothing", Path("/dev/zero")):
        assert refused(path).code == "spec.unreadable"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.yaml"
    path.write_text("a: 1")
    path.chmod(0)
    assert "Permission denied" in refused(path).why
