import gzip
from pathlib import Path

import pytest

from mlctl.runtime.profile.database import explain, literal, quote, shorten
from mlctl.runtime.profile.source import header, relation
from mlctl.runtime.profile.statistics import family
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.profile import Source, dataset_digest


def test_quoting() -> None:
    assert quote('a"b') == '"a""b"'
    assert literal("it's") == "'it''s'"


@pytest.mark.parametrize(
    ("text", "names", "mark"),
    [
        ("a,b\n1,2\n", ["a", "b"], ","),
        ("a;b;c\n", ["a", "b", "c"], ";"),
        ("a\tb\n", ["a", "b"], "\t"),
        ("a|b\n", ["a", "b"], "|"),
        ("only\n1\n", ["only"], ","),
        ("\ufeffa,b\r\n", ["a", "b"], ","),
        ('"x;y",b\n', ["x;y", "b"], ","),
        ('"line\nbreak",b\n1,2\n', ["line\nbreak", "b"], ","),
    ],
)
def test_the_header_gives_names_and_separator(tmp_path: Path, text: str, names: list[str], mark: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(text.encode())
    assert header(str(path)) == (names, mark)
    packed = tmp_path / "x.csv.gz"
    packed.write_bytes(gzip.compress(text.encode()))
    assert header(str(packed)) == (names, mark)


@pytest.mark.parametrize(
    ("raw", "code"),
    [
        (b"a,a\n", "data.bad-header"),
        (b"a,A\n", "data.bad-header"),
        (b"a,\n", "data.bad-header"),
        (b"caf\xe9,b\n", "data.not-utf8"),
    ],
)
def test_bad_headers(tmp_path: Path, raw: bytes, code: str) -> None:
    path = tmp_path / "x.csv"
    path.write_bytes(raw)
    with pytest.raises(MlctlError) as caught:
        header(str(path))
    assert caught.value.diagnostics[0].code == code


def test_relations(tmp_path: Path) -> None:
    path = tmp_path / "it's.csv"
    path.write_text("b;a\n")
    columns = {"a": "bigint", "b": "varchar"}  # sorted, as JSON keeps it; the file has b first
    shown = literal(str(path))
    assert relation(Source(files=[str(path)], format="csv", columns=columns)) == (
        f"read_csv([{shown}], header=true, skip=0, delim=';', quote='\"', escape='\"', comment='', null_padding=false, strict_mode=true,"
        " auto_detect=false, columns={\"b\": 'varchar', \"a\": 'bigint'})"
    )
    assert relation(Source(files=["x", "y"], format="parquet", columns=columns)) == "read_parquet(['x', 'y'])"
    assert (
        relation(Source(files=["x"], format="jsonl", columns={"a": "json"}))
        == "read_json(['x'], format='newline_delimited', records=true, columns={\"a\": 'json'})"
    )


@pytest.mark.parametrize(
    ("found", "kind"),
    [
        ("bigint", "integer"), ("double", "float"), ("decimal(18,2)", "decimal"), ("timestamp with time zone", "time"), ("date", "time"), ("varchar", "text"),
        ("enum('a', 'b')", "text"), ("boolean", "boolean"), ("bigint[]", "other"), ("timestamp[]", "other"), ("decimal(3,1)[]", "other"), ("time", "other"), ("json", "other"),
    ],
)  # fmt: skip
def test_families(found: str, kind: str) -> None:
    assert family(found) == kind


@pytest.mark.parametrize(
    ("kind", "message", "code"),
    [
        (
            "InvalidInputException",
            'Invalid Input Error: Malformed JSON in file "a.jsonl", at byte 10 in line 2: invalid UTF-8 encoding in string. ',
            "data.not-utf8",
        ),
        (
            "InvalidInputException",
            "Invalid Input Error: No magic bytes found at end of file 'a.parquet'",
            "data.unreadable",
        ),
        ("InvalidInputException", "Error when sniffing\nEncoding: utf-8", "data.unreadable"),
        ("IOException", 'IO Error: No files found that match the pattern "a.csv"', "data.missing-file"),
        ("IOException", "IO Error: Could not write file: No space left on device", "data.disk-full"),
        ("OutOfMemoryException", "Out of Memory Error: failed to allocate", "data.out-of-memory"),
    ],
)
def test_errors_in_our_words(kind: str, message: str, code: str) -> None:
    [problem] = explain(kind, message).diagnostics
    assert problem.code == code
    assert problem.fix
    if '"a.' in message or "'a." in message:
        assert problem.summary.startswith("`a.")


def test_hints_about_sql_are_cut() -> None:
    message = "Invalid Input Error: CSV Error on Line: 3\nOriginal Line: 3\nExpected Number of Columns: 2 Found: 1\nPossible fixes:\n* Disable strict mode"
    assert shorten(message) == "CSV Error on Line: 3; Original Line: 3; Expected Number of Columns: 2 Found: 1"


def test_the_digest_is_of_content_and_not_of_names() -> None:
    outputs = {
        "path": "a",
        "files": ["a"],
        "format": "csv",
        "timestamp": None,
        "key": ["k"],
        "columns": {"k": "bigint"},
    }
    same = dataset_digest({**outputs, "path": "b", "files": ["b"]}, ["1"])
    assert dataset_digest(outputs, ["1"]) == same
    assert dataset_digest(outputs, ["2"]) != same
    assert dataset_digest({**outputs, "key": []}, ["1"]) != same
