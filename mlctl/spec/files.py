"""Read a project file as text: UTF-8, a regular file, of a size that a person could have written."""

from __future__ import annotations

import re
import stat
from pathlib import Path

from mlctl.types.diagnostic import Diagnostic, MlctlError, SourceRange

SIZE_LIMIT = 5_000_000  # bytes; a project of 10,000 resources has about 1 MB
LINE_BREAK = re.compile("\r\n|[\n\r\x85\u2028\u2029]")  # what the YAML parser counts as one line


def read_text(path: Path, shown: str) -> str:
    """The text of a project file, without a byte order mark. Raises MlctlError; `shown` is how messages name the file."""
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):
            raise _refused(
                "spec.unreadable",
                f"{shown} is not a file",
                "a project file is a regular file of YAML text",
                "name the file itself, for example with `-f`",
            )
        with open(path, "rb") as stream:
            data = stream.read(SIZE_LIMIT + 1)
    except OSError as error:
        raise _refused(
            "spec.unreadable",
            f"cannot read {shown}",
            error.strerror or str(error),
            "see that the file exists and may be read",
        ) from None
    if len(data) > SIZE_LIMIT:
        raise _refused(
            "spec.too-large",
            f"{shown} has {max(status.st_size, len(data)):,} bytes; a project file may have {SIZE_LIMIT:,}",
            "a project file describes resources; a file of this size is usually data",
            "if it is the right file, split it and name the parts in `include`",
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MlctlError([_not_utf8(data, error, shown)]) from None


def _refused(code: str, summary: str, why: str, fix: str) -> MlctlError:
    return MlctlError.of(code, summary, why, fix)


def _not_utf8(data: bytes, error: UnicodeDecodeError, shown: str) -> Diagnostic:
    mark = len(data) - len(error.object)  # the error counts from behind a byte order mark
    data = data[mark:]
    before = LINE_BREAK.split(data[: error.start].decode("utf-8"))
    after = LINE_BREAK.split(data[error.start : error.start + 200].decode("utf-8", "replace"))[0]
    column = len(before[-1]) + 1
    utf16 = data[:2] in (b"\xff\xfe", b"\xfe\xff")
    return Diagnostic(
        "spec.encoding",
        f"{shown} is not UTF-8 text: byte 0x{data[error.start]:02x} at offset {mark + error.start}",
        "it begins like UTF-16" if utf16 else "project files are UTF-8, so that they read the same on every machine",
        "save the file as UTF-8"
        if utf16
        else f"save the file as UTF-8, for example with `iconv -f latin1 -t utf-8 {shown}`",
        where=SourceRange(shown, len(before), column, column + 1, before[-1] + after),
    )
