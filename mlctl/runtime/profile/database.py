"""DuckDB as the data programs use it: in memory, bounded, spilling into the job's folder; its errors in our own words."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from mlctl.types.diagnostic import MlctlError

SPILL = "spill"  # a folder in that of the job
MEMORY_LIMIT = "1GB"  # enough for an exact uniqueness check of 50 million rows, which spills

# A statement that DuckDB cannot make sense of is a mistake of ours, but for one that it notices only in the data.
_OUR_BUGS = ("BinderException", "ParserException", "CatalogException", "InternalException")
_NOT_RECORDS = "got non-record JSON"

_NOT_UTF8 = re.compile(r"not utf-?8 encoded|invalid utf-?8|not valid utf-?8", re.IGNORECASE)
_FILE = re.compile(r"""(?:^\s*file = |[Ff]ile ['"]|pattern ")([^'"\n]+)""", re.MULTILINE)
_GONE = ("No files found", "Cannot open file", "Could not open file", "No such file")
_HINTS = ("Possible ", "Try setting", "See also", "* ", "LINE 1:", "file = ", "This type was auto-detected")


@contextmanager
def database(folder: Path) -> Iterator[Any]:
    """A connection whose errors come out as MlctlError; what does not fit in memory goes below `folder` for a while."""
    import duckdb

    spill = folder / SPILL
    shutil.rmtree(spill, ignore_errors=True)
    connection = duckdb.connect(config={"memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)})
    try:
        connection.execute("SET TimeZone = 'UTC'")
        connection.execute("SET enable_progress_bar = false")
        connection.execute("SET autoinstall_known_extensions = false")
        # It has text files read as whatever type a query casts to: `true` as a number fails, and 007 as text is not that of 7.
        connection.execute("SET disabled_optimizers = 'type_pushdown'")
        yield connection
    except duckdb.Error as error:
        if type(error).__name__ in _OUR_BUGS and _NOT_RECORDS not in str(error):
            raise
        raise explain(type(error).__name__, str(error)) from error
    finally:
        connection.close()
        shutil.rmtree(spill, ignore_errors=True)


def explain(kind: str, message: str) -> MlctlError:
    """What an error of DuckDB, given by class name and message, means for the person whose data it is."""
    said = shorten(message)
    named = _FILE.search(message)
    which = f"`{named[1]}`" if named else "a data file"
    if kind == "OutOfMemoryException":
        return MlctlError.of(
            "data.out-of-memory",
            "the data does not fit in the memory and disk it may use",
            said,
            "free disk space beside the project, or split the files",
        )
    if "No space left" in message:
        return MlctlError.of("data.disk-full", "the disk is full", said, "free disk space and run `mlctl apply` again")
    if any(mark in message for mark in _GONE):
        return MlctlError.of(
            "data.missing-file",
            f"{which} vanished while it was being read",
            said,
            "put the file back and run `mlctl apply` again",
        )
    if _NOT_UTF8.search(message):
        return MlctlError.of(
            "data.not-utf8",
            f"{which} is not UTF-8 text",
            said,
            "convert it, for example with `iconv -f latin1 -t utf-8`",
        )
    return MlctlError.of(
        "data.unreadable", f"{which} cannot be read as its format", said, "mend the file, or state its `format`"
    )


def shorten(message: str) -> str:
    """The lines of a DuckDB message that say what is wrong, without its hints about SQL options."""
    kept = []
    for line in message.splitlines():
        text = line.strip()
        if text.startswith(_HINTS):
            break
        if text:
            kept.append(
                text.removeprefix("Invalid Input Error: ")
                .removeprefix("Conversion Error: ")
                .removeprefix("Binder Error: ")
                .removeprefix("IO Error: ")
            )
    return "; ".join(kept)[:600]


def quote(name: str) -> str:
    """A column name as SQL writes it."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A text value as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def own_parquet(path: str) -> str:
    """A parquet file that mlctl wrote, as a table. DuckDB would take a folder `training.churn@lr=0.1` for a partition, and add a column."""
    return f"read_parquet({literal(path)}, hive_partitioning=false)"


def one_row(connection: Any, query: str) -> dict[str, Any]:
    """The only row of a query, by column name."""
    result = connection.execute(query)
    names = [item[0] for item in result.description]
    return dict(zip(names, result.fetchone(), strict=True))


def all_rows(connection: Any, query: str) -> Sequence[dict[str, Any]]:
    """The rows of a query that has few, by column name."""
    result = connection.execute(query)
    names = [item[0] for item in result.description]
    return [dict(zip(names, row, strict=True)) for row in result.fetchall()]
