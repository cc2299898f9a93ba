"""How many requests a prediction log holds, and how many tokens, read once from a day on, line by line."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import day_files
from mlctl.types.log_counts import Counts, Tokens

_OPEN = 4096  # requests of which more lines may come: a request for predictions of several rows has as many
_ANSWERED = 200
_SHADOW = "shadow"  # the role of a copy of a request whose answer reaches nobody
_EVERY = 4096  # lines between two words on how far it is


def count(folder: Path, since: str, progress: Callable[[float], None] = lambda share: None) -> Counts:
    """Count the lines at or after a moment (ISO 8601, UTC). `progress` is told the share that is read. A folder that is not there
    holds nothing."""
    found, seen = Counts(), OrderedDict[str, None]()
    files = day_files(folder, since[:10])
    size = sum(map(_size, files)) or 1
    read = 0
    for path in files:
        for number, (line, row) in enumerate(_rows(path)):
            read += len(line)
            if number % _EVERY == 0:
                progress(read / size)
            if row is not None and str(row.get("ts", "")) >= since:
                _add(found, row, seen)
    return found


def _add(found: Counts, row: Mapping[str, Any], seen: OrderedDict[str, None]) -> None:
    if row.get("role") == _SHADOW:
        return
    id, ts = str(row.get("request_id", "")), str(row["ts"])
    if id in seen:
        return
    seen[id] = None
    if len(seen) > _OPEN:
        seen.popitem(last=False)
    found.requests += 1
    found.first, found.last = min(found.first or ts, ts), max(found.last, ts)
    if row.get("code") != _ANSWERED:
        return
    found.answered += 1
    if "completion_tokens" not in row:
        return
    prompt, answer, cached = (
        _tokens(row.get(name)) for name in ("prompt_tokens", "completion_tokens", "cached_tokens")
    )
    if prompt is None or answer is None:
        found.uncounted += 1
        return
    group = found.tokens.setdefault((ts[:10], prompt.bit_length()), Tokens())
    group.requests += 1
    group.prompt += prompt
    group.answer += answer
    group.cached += min(cached or 0, prompt)


def _tokens(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def _size(path: Path) -> int:
    """0 for one that was removed meanwhile."""
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _rows(path: Path) -> Iterator[tuple[bytes, dict[str, Any] | None]]:
    """The lines of a file with what they hold. One that is removed meanwhile has no more."""
    try:
        with path.open("rb") as stream:
            for line in stream:
                try:
                    value = json.loads(line)
                except (ValueError, RecursionError):
                    value = None
                yield line, value if isinstance(value, dict) else None
    except OSError:
        return
