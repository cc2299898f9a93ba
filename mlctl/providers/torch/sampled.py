"""How long the rows of a text are, from a few blocks of its files: enough to foretell a training before its dataset is made.

No tokenizer is asked: a token is taken to be four characters of ASCII, or two thirds of another one, and what that may be wrong by is
the range. The same files give the same figures.
"""

from __future__ import annotations

import json
import math
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from mlctl.provider import Context, Desired
from mlctl.providers.torch.spec import Corpus
from mlctl.types.address import Address
from mlctl.types.estimate import Range

_WILD = frozenset("*?[")
_SUFFIXES = (".jsonl", ".ndjson")
_BLOCK, _BLOCKS = 2**19, 8  # bytes, and how many are read at most: the first of the files, and more at random places
_MOST_FILES = 200
_LEAST = 3  # rows that say something
_ASCII, _OTHER = 1 / 4, 1 / 1.5  # tokens of a character
_MARKS = 4.0  # tokens around each message or text
_DOUBT = Range(0.7, 1.0, 1.6)  # how far tokenizers and languages stray from that


@dataclass(frozen=True, slots=True)
class Sample:
    """Of all rows of some files together: how many there are, and how many tokens a row has, cut at the longest."""

    rows: Range
    each: Range
    name: str  # of the first file
    whole: bool = False  # every row was looked at


def sampled(desired: Desired, data: Corpus, files: Sequence[str], ctx: Context) -> Sample | None:
    """The rows of a corpus by its files: those named, or where none are, those that the project's dataset says. None where they are
    not lines of JSON on this machine with the columns that are learnt from."""
    paths = [ctx.root / name for name in files] or _asked(desired, data, ctx)
    columns = (data.messages, data.prompt, data.completion, data.text)
    if not paths or len(paths) > _MOST_FILES or any(path.suffix not in _SUFFIXES for path in paths):
        return None
    try:
        stats = [path.stat() for path in paths]
        known = tuple((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in zip(paths, stats, strict=True))
        return _sample(known, tuple(name for name in columns if name is not None), data.max_length)
    except OSError:
        return None


def _asked(desired: Desired, data: Corpus, ctx: Context) -> list[Path]:
    """The files of a dataset that is still to be made, as its block names them."""
    block = None if desired.blocks is None else desired.blocks.block(Address("datasets", data.dataset))
    text = getattr(block, "path", None)
    if not isinstance(text, str) or "://" in text or getattr(block, "format", None) not in (None, "json", "jsonl"):
        return []
    path = ctx.root / text
    try:
        if path.is_file():
            return [path]
        found = path.iterdir() if path.is_dir() else ctx.root.glob(text) if _WILD & set(text) else ()
        return sorted(item for item in found if item.is_file() and not item.name.startswith((".", "_")))
    except (OSError, ValueError, NotImplementedError):  # not to be read, or a pattern that `glob` knows nothing of
        return []


@lru_cache(maxsize=64)
def _sample(files: tuple[tuple[str, int, int], ...], columns: tuple[str, ...], longest: int) -> Sample | None:
    """What the blocks hold. Raises OSError."""
    total = sum(size for _, size, _ in files)
    lines, whole = [], total <= _BLOCK * _BLOCKS
    for path, start, length in _places(files, total, whole=whole):
        lines += _lines(path, start, length)
    found = [(len(line), _tokens(line, columns)) for line in lines if line.strip()]
    tokens = [min(float(longest), count) for _, count in found if count is not None]
    if len(tokens) < _LEAST or len(tokens) < len(found):
        return None
    sizes = [float(size) for size, _ in found]
    size, stray = _mean(sizes), 0.0 if whole else _stray(sizes)
    each, doubt = _mean(tokens), 0.0 if whole else _stray(tokens)
    rows = float(len(found)) if whole else total / size
    counted = Range(rows / (1 + stray), rows, rows * (1 + stray))
    low, high = each * _DOUBT.low / (1 + doubt), min(float(longest), each * _DOUBT.high * (1 + doubt))
    return Sample(counted, Range(min(low, high), each, max(high, each)), Path(files[0][0]).name, whole)


def _places(
    files: tuple[tuple[str, int, int], ...], total: int, *, whole: bool
) -> Iterator[tuple[str, int, int | None]]:
    """What to read: all of what is small, else the beginning and places that depend on the sizes alone."""
    if whole:
        yield from ((path, 0, None) for path, size, _ in files if size)
        return
    drawn = random.Random(total)  # noqa: S311  a sample, no secret
    starts = [0, *sorted(drawn.randrange(total) for _ in range(_BLOCKS - 1))]
    for start in starts:
        for path, size, _ in files:
            if start < size:
                yield path, start, _BLOCK
                break
            start -= size


def _lines(path: str, start: int, length: int | None) -> list[bytes]:
    """The whole lines of a block: what it begins and ends with may be cut."""
    with open(path, "rb") as file:
        file.seek(start)
        text = file.read() if length is None else file.read(length)
    lines = text.split(b"\n")
    if start:
        lines = lines[1:]
    return lines if length is None or len(text) < length else lines[:-1]


def _tokens(line: bytes, columns: tuple[str, ...]) -> float | None:
    """Tokens of one row, about; None for what is no row of these columns."""
    try:
        row = json.loads(line)
        if not isinstance(row, dict) or any(name not in row for name in columns):
            return None
        return sum(_of(row[name]) for name in columns)
    except (ValueError, RecursionError):
        return None


def _of(value: Any) -> float:
    if isinstance(value, list):
        return sum(_of(item.get("content") if isinstance(item, dict) else item) for item in value)
    if not isinstance(value, str):
        return 0.0
    plain = len(value) if value.isascii() else sum(mark < "\x80" for mark in value)
    return plain * _ASCII + (len(value) - plain) * _OTHER + _MARKS


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)


def _stray(values: Sequence[float]) -> float:
    """How far the mean of a sample may be from that of all, as a share: three standard errors."""
    mean = _mean(values)
    spread = math.sqrt(sum((value - mean) ** 2 for value in values) / max(1, len(values) - 1))
    return 3 * spread / math.sqrt(len(values)) / mean if mean else 0.0
