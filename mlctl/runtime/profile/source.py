"""How the files of a dataset become one table in SQL, the same way for every program that reads them.

Nothing about a text file is left to a guess that could drop or turn data unnoticed: a CSV file has one header line,
every line as many fields as it, and dates count as dates only when written as in ISO 8601. Types are found once, from
all lines, and kept in the dataset's outputs; later reads use those.
"""

# ruff: noqa: S608 (names go through quote(), texts through literal())

from __future__ import annotations

import csv
import gzip
import io
from collections.abc import Mapping, Sequence
from typing import Any

from mlctl.runtime.profile.database import literal, one_row, quote
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.profile import Format, Source

_DELIMITERS = (",", "\t", ";", "|")
_WHOLE = ("tinyint", "smallint", "integer", "bigint")
_NESTED = ("struct", "map", "list", "union", "variant")


def relation(source: Source) -> str:
    """The table function over a profiled dataset."""
    if source.format == "csv":
        return _csv(source.files, source.columns)
    if source.format == "jsonl":
        return f"read_json({_list(source.files)}, format='newline_delimited', records=true, columns={_struct(source.columns)})"
    return f"read_parquet({_list(source.files)})"


def detect(connection: Any, files: Sequence[str], form: Format) -> dict[str, str]:
    """The columns of the files and their DuckDB types in lower case. Raises MlctlError for files that do not go together."""
    if form == "csv":
        return _detect_csv(connection, files)
    if form == "jsonl":
        table = f"read_json({_list(files)}, format='newline_delimited', records=true, sample_size=-1, maximum_sample_files={len(files)}, union_by_name=true)"
        return {name: _json_type(found) for name, found in describe(connection, table).items()}
    columns = describe(connection, f"read_parquet({_list(files[:1])})")
    for file in files[1:]:
        _same(files[0], columns, file, describe(connection, f"read_parquet({_list([file])})"))
    return describe(connection, f"read_parquet({_list(files)})") if len(files) > 1 else columns


def header(file: str) -> tuple[list[str], str]:
    """The column names of a CSV file and the character between them. Raises MlctlError, OSError."""
    with gzip.open(file, "rb") if file.endswith(".gz") else open(file, "rb") as stream:
        first = stream.readline()
        while first.count(b'"') % 2 and (more := stream.readline()):  # a quoted name may hold a line break
            first += more
    try:
        line = first.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise MlctlError.of(
            "data.not-utf8",
            f"`{file}` is not UTF-8 text",
            f"line 1: {error}",
            "convert it, for example with `iconv -f latin1 -t utf-8`",
        ) from None
    splits = {mark: next(csv.reader(io.StringIO(line, newline=""), delimiter=mark), []) for mark in _DELIMITERS}
    mark = max(_DELIMITERS, key=lambda item: len(splits[item]))
    names = splits[mark]
    if not names or "" in names or len({name.lower() for name in names}) < len(names):
        raise MlctlError.of(
            "data.bad-header",
            f"the first line of `{file}` does not name its columns",
            f"it reads {line.strip()[:200]!r}; each column needs a name, and no two the same",
            "give the file a header line",
        )
    return names, mark


def _detect_csv(connection: Any, files: Sequence[str]) -> dict[str, str]:
    names, mark = header(files[0])
    merged: dict[str, str] = {}
    for file in files:
        others, other_mark = header(file)
        if (others, other_mark) != (names, mark):
            raise _files_differ(
                files[0], file, f"the header of the one is {names}, of the other {others}; order and separator count"
            )
        found = dict(zip(names, _sniff(connection, file, names, mark), strict=True))
        if len(files) > 1:
            # A column without a value looks like text, and must not make text of the numbers in another file.
            counts = one_row(
                connection,
                f"SELECT {', '.join(f'count({quote(name)}) AS {quote(name)}' for name in names)} FROM {_csv([file], found)}",
            )
            found = {name: kind for name, kind in found.items() if counts[name]}
        merged |= {name: _wider(merged.get(name, kind), kind) for name, kind in found.items()}
    return {name: merged.get(name, "varchar") for name in names}


def _sniff(connection: Any, file: str, names: Sequence[str], mark: str) -> list[str]:
    """The type of each column, from all lines of one file."""
    # A date is one only in ISO 8601; else 1/2/2024 would become a date by whatever the other rows happen to allow.
    query = f"SELECT Columns AS columns FROM sniff_csv({literal(file)}, {_dialect(mark)}, dateformat='%Y-%m-%d', sample_size=-1)"
    try:
        found = one_row(connection, query)
    except Exception as error:
        if "sniffing" in str(error):
            # The sniffer does not say which line it stumbled over; reading every field as text does.
            one_row(connection, f"SELECT count(columns(*)) FROM {_csv([file], dict.fromkeys(names, 'varchar'))}")
        raise
    return [item["type"].lower() for item in found["columns"]]


def _wider(one: str, other: str) -> str:
    """The type that holds the values of both."""
    if one == other:
        return one
    return "double" if {one, other} <= {*_WHOLE, "double"} else "varchar"


def _csv(files: Sequence[str], columns: Mapping[str, str]) -> str:
    names, mark = header(files[0])  # columns go by position here, and a mapping out of JSON has lost its order
    ordered = {name: columns[name] for name in names}
    return f"read_csv({_list(files)}, {_dialect(mark)}, auto_detect=false, columns={_struct(ordered)})"


def _dialect(mark: str) -> str:
    return f"header=true, skip=0, delim={literal(mark)}, quote='\"', escape='\"', comment='', null_padding=false, strict_mode=true"


def describe(connection: Any, table: str) -> dict[str, str]:
    """The columns of a table function in order, name to DuckDB type in lower case."""
    return {row[0]: row[1].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()}


def _json_type(found: str) -> str:
    """Nested values are read as JSON text, since the lower-case name of a struct type loses the names of its fields."""
    if found == '"null"':
        return "varchar"
    return "json" if found.startswith(_NESTED) or found.endswith("]") else found


def _same(first: str, columns: Mapping[str, str], file: str, others: Mapping[str, str]) -> None:
    differing = sorted(name for name in columns.keys() | others.keys() if columns.get(name) != others.get(name))
    if differing:
        shown = ", ".join(
            f"`{name}` is {columns.get(name, 'missing')} there and {others.get(name, 'missing')} here"
            for name in differing[:5]
        )
        raise _files_differ(first, file, shown)


def _files_differ(first: str, file: str, why: str) -> MlctlError:
    return MlctlError.of(
        "data.files-differ",
        f"`{file}` has other columns than `{first}`",
        why,
        "the files of one dataset have the same columns; make two datasets, or mend the file",
    )


def _list(files: Sequence[str]) -> str:
    return "[" + ", ".join(literal(file) for file in files) + "]"


def _struct(columns: Mapping[str, str]) -> str:
    return "{" + ", ".join(f"{quote(name)}: {literal(found)}" for name, found in columns.items()) + "}"
