"""Which files a dataset's `path` means, and their format."""

from __future__ import annotations

import os
from pathlib import Path

from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.profile import Format

_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
    ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".ndjson": "jsonl", ".ndjson.gz": "jsonl",
}  # fmt: skip
_WILD = frozenset("*?[")


def data_files(path: str, stated: Format | None, ctx: Context) -> tuple[list[str], Format]:
    """The files of a dataset, project-relative and in reading order (by name), and their format. Raises MlctlError."""
    files = _files(path, ctx)
    for file in files:
        if _WILD & set(file):
            raise MlctlError.of(
                "data.bad-name",
                f"the file `{file}` has `*`, `?` or `[` in its name",
                "the readers of data files take it for a pattern",
                "rename the file",
            )
    if stated is not None:
        return files, stated
    formats = {file: _format(file) for file in files}
    first = formats[files[0]]
    other = next((file for file in files if formats[file] != first), None)
    if other is not None:
        raise MlctlError.of(
            "data.mixed-formats",
            f"`{path}` holds files of several formats",
            f"`{files[0]}` is {first} and `{other}` is {formats[other]}",
            "make one dataset of each format",
        )
    return files, first


def _files(path: str, ctx: Context) -> list[str]:
    target = ctx.path(path)
    root = ctx.root.resolve()
    if target.is_file():
        return [_relative(ctx.root / path, ctx)]
    if target.is_dir():
        found = target.rglob("*")
        kind = "folder"
    elif _WILD & set(path):
        found = root.glob(target.relative_to(root).as_posix())
        kind = "pattern"
    else:
        raise _missing(path, target, root)
    files = sorted(_relative(file, ctx) for file in found if file.is_file() and _is_data(file.relative_to(root)))
    if not files:
        raise MlctlError.of(
            "data.missing-file",
            f"the {kind} `{path}` has no data file",
            "files and folders whose names begin with `.` or `_` do not count",
            "write the data first, or correct `path`",
        )
    return files


def _relative(file: Path, ctx: Context) -> str:
    """The name of a file from the project folder. Raises MlctlError when it is a link that leads out of it."""
    plain = Path(os.path.normpath(file.absolute()))
    root = next((item for item in (ctx.root.absolute(), ctx.root.resolve()) if plain.is_relative_to(item)), ctx.root)
    name = plain.relative_to(root).as_posix()
    ctx.path(name)
    return name


def _is_data(name: Path) -> bool:
    return not any(part.startswith((".", "_")) for part in name.parts)


def _format(file: str) -> Format:
    for suffix in sorted(_SUFFIXES, key=len, reverse=True):
        if file.lower().endswith(suffix):
            return _SUFFIXES[suffix]
    raise MlctlError.of(
        "data.unknown-format",
        f"the format of `{file}` is not known",
        f"its name ends in none of {', '.join(_SUFFIXES)}",
        "rename it, or state `format: parquet`, `csv` or `jsonl`",
    )


def _missing(path: str, target: Path, root: Path) -> MlctlError:
    """There is no such file; say which are near."""
    folder = target.parent
    while not folder.is_dir():
        folder = folder.parent
    near = [item.relative_to(root).as_posix() for item in sorted(folder.iterdir()) if _is_data(item.relative_to(root))]
    return MlctlError.of(
        "data.missing-file",
        f"there is no file `{path}`",
        "a dataset's `path` is relative to the folder of mlctl.yaml",
        did_you_mean(path, near) or "write the data first, or correct `path`",
    )
