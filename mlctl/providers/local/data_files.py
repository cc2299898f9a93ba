"""Which files a dataset's `path` means, their format, and the columns that stand in the names of their folders."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from re import compile as pattern

from mlctl.provider import Context
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.jobs.partitions import type_of, values_of
from mlctl.types.jobs.profile import Format

_SUFFIXES: dict[str, Format] = {
    ".parquet": "parquet", ".pq": "parquet",
    ".csv": "csv", ".csv.gz": "csv", ".tsv": "csv", ".tsv.gz": "csv",
    ".jsonl": "jsonl", ".jsonl.gz": "jsonl", ".ndjson": "jsonl", ".ndjson.gz": "jsonl",
}  # fmt: skip
_LONGEST_FIRST = sorted(_SUFFIXES, key=len, reverse=True)
_WILD = frozenset("*?[")
_BAD_NAME = pattern(r"[*?\[\n\r]")


def data_files(path: str, stated: Format | None, ctx: Context) -> tuple[list[str], Format]:
    """The files of a dataset, project-relative and in reading order (by name), and their format. Raises MlctlError."""
    files = _files(path, ctx)
    return files, format_of(files, stated, path)


def format_of(files: Sequence[str], stated: Format | None, path: str) -> Format:
    """The one format of files. Raises MlctlError for names that readers would not take as they are."""
    if _BAD_NAME.search("\0".join(files)):  # one look at all names, since there may be very many
        bad = next(file for file in files if _BAD_NAME.search(file))
        raise MlctlError.of(
            "data.bad-name",
            f"the file {bad!r} has `*`, `?`, `[` or a line break in its name",
            "the readers of data files take it for a pattern",
            "rename the file",
        )
    if stated is not None:
        return stated
    first = _format(files[0])
    same = tuple(suffix for suffix, form in _SUFFIXES.items() if form == first)
    other = next((file for file in files if not file.lower().endswith(same)), None)
    if other is not None:
        raise MlctlError.of(
            "data.mixed-formats",
            f"`{path}` holds files of several formats",
            f"`{files[0]}` is {first} and `{other}` is {_format(other)}",
            "make one dataset of each format",
        )
    return first


def partitions(files: Sequence[str]) -> dict[str, str]:
    """The columns that stand in the names of folders, with their types. Raises MlctlError when only some files have them."""
    folders = dict.fromkeys(file.rpartition("/")[0] for file in files)
    if not any("=" in folder for folder in folders):
        return {}
    found = {folder: values_of(f"{folder}/x") for folder in folders}
    first, names = next((folder, list(values)) for folder, values in found.items())
    other = next((folder for folder, values in found.items() if list(values) != names), None)
    if other is not None:
        raise MlctlError.of(
            "data.mixed-partitions",
            f"not all files have the same partitions: `{first}` has {_named(names)}, `{other}` {_named(found[other])}",
            "a folder named `column=value` is a column of every row below it, so that all files need the same ones in the same order",
            "move the files, or make two datasets",
        )
    return {name: type_of({values[name] for values in found.values()}) for name in names}


def _named(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in names) or "none"


def _files(path: str, ctx: Context) -> list[str]:
    target = ctx.path(path)
    if target.is_file():
        return [_relative(ctx.root / path, ctx)]
    root = ctx.root.resolve()
    if target.is_dir():
        found, kind = sorted(_walk(target, root, ctx)), "folder"
    elif _WILD & set(path):
        name = target.relative_to(root).as_posix()
        found, kind = sorted(_matching(name, root, ctx)), "pattern"
    else:
        raise _missing(path, target, root)
    if not found:
        raise MlctlError.of(
            "data.missing-file",
            f"the {kind} `{path}` has no data file",
            "files and folders whose names begin with `.` or `_` do not count",
            "write the data first, or correct `path`",
        )
    return found


def _matching(name: str, root: Path, ctx: Context) -> Iterator[str]:
    """The files that a pattern means. `*`, `?` and `[...]` stand for a part of one name, `**` for any folders."""
    steps = name.split("/")
    fixed = next(index for index, step in enumerate(steps) if _WILD & set(step))
    below = root.joinpath(*steps[:fixed])
    if below.is_dir():
        yield from (file for file in _walk(below, root, ctx) if fits(file.split("/")[fixed:], steps[fixed:]))


def fits(parts: Sequence[str], steps: Sequence[str]) -> bool:
    """Whether a file's name, in its parts, is one that a pattern means."""
    if not steps:
        return not parts
    if steps[0] == "**":
        return any(fits(parts[skipped:], steps[1:] or ["*"]) for skipped in range(len(parts)))
    return bool(parts) and fnmatchcase(parts[0], steps[0]) and fits(parts[1:], steps[1:])


def _walk(folder: Path, root: Path, ctx: Context) -> Iterator[str]:
    """All data files below a folder, as names from the project folder. One look at each folder, since there may be very many files.

    Links are followed, and refused when they lead out of the project (MlctlError).
    """
    prefix = folder.relative_to(root).as_posix()
    waiting = [(str(folder), "" if prefix == "." else f"{prefix}/", frozenset([os.path.realpath(folder)]))]
    while waiting:
        place, prefix, above = waiting.pop()
        with os.scandir(place) as entries:
            for entry in entries:
                if entry.name.startswith((".", "_")):
                    continue
                name = prefix + entry.name
                if entry.is_symlink():
                    ctx.path(name)
                if entry.is_dir():
                    real = os.path.realpath(entry.path) if entry.is_symlink() else entry.path
                    if real not in above:  # a link to a folder that it is in would never end
                        waiting.append((entry.path, f"{name}/", above | {real}))
                elif entry.is_file():
                    yield name


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
    name = file.lower()
    for suffix in _LONGEST_FIRST:
        if name.endswith(suffix):
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
