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
from pathlib import Path
from typing import Any

from mlctl.runtime.profile.database import SPILL, literal, one_row, own_parquet, quote
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.partitions import values_of
from mlctl.types.jobs.profile import Format, Source

_DELIMITERS = (",", "\t", ";", "|")
_WHOLE = ("tinyint", "smallint", "integer", "bigint")
_SAMPLED_AT_ONCE = 16  # files of JSON lines
_FEW_COLUMNS = 16  # of a text file, which is then parsed as often as it is looked at
_CELLS = 2_000_000  # of a row group
_LEAST_ROWS, _MOST_ROWS = 2048, 122_880  # of a row group; DuckDB writes no smaller ones
_NOT_IN_PARQUET = ("hugeint", "uhugeint")  # would become doubles there
_NESTED = ("struct", "map", "list", "union", "variant")


def relation(source: Source) -> str:
    """The table function over a profiled dataset; with partitions, a query over it that has their columns too."""
    found = _function(source.files, source.format, source.columns, source.partitions)
    if not source.partitions:
        return found
    # by name, since DuckDB makes a column of every folder with a `=` in its name, be it a partition or not
    return f"(SELECT {', '.join(quote(name) for name in source.columns)} FROM {found})"


def staged(connection: Any, source: Source, folder: Path) -> str:
    """The same table, for programs that look at some columns after the others.

    Text is parsed whole for whichever columns are asked for, which takes hours when there are thousands. It is written as
    Parquet then, once, beside what spills.
    """
    table = relation(source)
    if source.format == "parquet" or len(source.columns) <= _FEW_COLUMNS:
        return table
    path = folder / SPILL / "staged.parquet"
    path.parent.mkdir(exist_ok=True)
    rows = min(_MOST_ROWS, max(_LEAST_ROWS, _CELLS // len(source.columns)))
    exact = {name for name, found in source.columns.items() if found in _NOT_IN_PARQUET}
    written = ", ".join(
        f"{quote(name)}::VARCHAR AS {quote(name)}" if name in exact else quote(name) for name in source.columns
    )
    if rows == _LEAST_ROWS:  # each thread holds a row group, and that of very many columns is large
        connection.execute("SET threads = 1")
    connection.execute(
        f"COPY (SELECT {written} FROM {table}) TO {literal(str(path))} (FORMAT parquet, ROW_GROUP_SIZE {rows})"
    )
    connection.execute("RESET threads")
    if not exact:
        return own_parquet(str(path))
    read = ", ".join(
        f"{quote(name)}::{found} AS {quote(name)}" if name in exact else quote(name)
        for name, found in source.columns.items()
    )
    return f"(SELECT {read} FROM {own_parquet(str(path))})"


def detect(
    connection: Any, files: Sequence[str], form: Format, partitions: Mapping[str, str] | None = None
) -> dict[str, str]:
    """The columns of the files and their DuckDB types in lower case, then those of their folders.

    Raises MlctlError for files that do not go together, and for a column that stands in both.
    """
    columns = _detect(connection, files, form)
    if not partitions:
        return columns
    names = {name.lower(): name for name in columns}
    both = next((name for name in partitions if name.lower() in names), None)
    if both is not None:
        raise MlctlError.of(
            "data.partition-collision",
            f"`{names[both.lower()]}` is a column of the files, and `{both}` one of their folders",
            f"{files[0]}: the two may differ, and only one can be read",
            "leave the column out of the files, or rename the folders",
        )
    # in the order of the folders, which a mapping out of JSON has lost
    return {**columns, **{name: partitions[name] for name in values_of(files[0]) if name in partitions}}


def _function(files: Sequence[str], form: Format, columns: Mapping[str, str], partitions: Mapping[str, str]) -> str:
    """The table function that reads the files; `columns` are needed for text files."""
    own = {name: found for name, found in columns.items() if name not in partitions}
    hive = _hive(files, partitions)
    if form == "csv":
        return _csv(files, own, hive)
    if form == "jsonl":
        return f"read_json({_list(files)}, format='newline_delimited', records=true, columns={_struct(own)}{hive})"
    return f"read_parquet({_list(files)}{hive})"


def _hive(files: Sequence[str], partitions: Mapping[str, str]) -> str:
    """Which folders are columns: DuckDB would take each with a `=` in its name for one."""
    if partitions:
        return f", hive_partitioning=true, hive_types_autocast=false, hive_types={_struct(partitions)}"
    return ", hive_partitioning=false" if any("=" in file for file in files) else ""


def _detect(connection: Any, files: Sequence[str], form: Format) -> dict[str, str]:
    if form == "csv":
        return _detect_csv(connection, files)
    if form == "jsonl":
        return _detect_jsonl(connection, files)
    return _detect_parquet(connection, files)


def _detect_jsonl(connection: Any, files: Sequence[str]) -> dict[str, str]:
    """The columns of all lines of all files. DuckDB holds 32 MB for each file that it looks at, so that they come in portions."""
    merged: dict[str, str | None] = {}
    for start in range(0, len(files), _SAMPLED_AT_ONCE):
        part = files[start : start + _SAMPLED_AT_ONCE]
        table = f"read_json({_list(part)}, format='newline_delimited', records=true, sample_size=-1, maximum_sample_files={len(part)}, union_by_name=true{_hive(part, {})})"
        for name, found in describe(connection, table).items():
            kind, known = _json_type(found), merged.get(name)
            merged[name] = kind if known is None else known if kind is None else _wider(known, kind)
    return {name: kind or "varchar" for name, kind in merged.items()}


def _detect_parquet(connection: Any, files: Sequence[str]) -> dict[str, str]:
    """The columns that all the files have."""
    columns = describe(connection, _function(files[:1], "parquet", {}, {}))
    for file in _of_each_schema(connection, files):
        _same(files[0], columns, file, describe(connection, _function([file], "parquet", {}, {})))
    return columns


def _of_each_schema(connection: Any, files: Sequence[str]) -> list[str]:
    """The first file of each schema there is, by the footers alone: there may be very many files, and few schemas."""
    if len(files) == 1:
        return []
    each = f"SELECT file_name, list((name, duckdb_type, num_children) ORDER BY column_id) AS columns FROM parquet_schema({_list(files)}) GROUP BY ALL"
    found = connection.execute(f"SELECT min(file_name) FROM ({each}) GROUP BY columns ORDER BY 1").fetchall()
    return [row[0] for row in found]


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
    if "json" in (one, other):
        return "json"
    return "double" if {one, other} <= {*_WHOLE, "double"} else "varchar"


def _csv(files: Sequence[str], columns: Mapping[str, str], hive: str | None = None) -> str:
    names, mark = header(files[0])  # columns go by position here, and a mapping out of JSON has lost its order
    ordered = {name: columns[name] for name in names}
    return f"read_csv({_list(files)}, {_dialect(mark)}, auto_detect=false, columns={_struct(ordered)}{_hive(files, {}) if hive is None else hive})"


def _dialect(mark: str) -> str:
    return f"header=true, skip=0, delim={literal(mark)}, quote='\"', escape='\"', comment='', null_padding=false, strict_mode=true"


def describe(connection: Any, table: str) -> dict[str, str]:
    """The columns of a table function in order, name to DuckDB type in lower case."""
    return {row[0]: row[1].lower() for row in connection.execute(f"DESCRIBE SELECT * FROM {table}").fetchall()}


def _json_type(found: str) -> str | None:
    """Nested values are read as JSON text, since the lower-case name of a struct type loses the names of its fields. None for only nulls."""
    if found == '"null"':
        return None
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
