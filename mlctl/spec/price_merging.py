"""New rows into a price list that is there already: every other character of it stays where it is, comments and layout too."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml
from yaml import MappingNode, Node, ScalarNode, SequenceNode

from mlctl.estimate.prices import PriceRow, rows_digest
from mlctl.spec import price_files
from mlctl.spec.source import Source
from mlctl.spec.tidy import comments
from mlctl.types.diagnostic import MlctlError

_HEAD = "# What devices cost by the hour, in US dollars, one device with its share of the host.\nrows:\n"
_Edit = tuple[int, int, str]  # a span of the text, and what comes in its place


@dataclass(frozen=True, slots=True)
class Merged:
    """A price list with new rows in it, and what became of them."""

    text: str
    added: tuple[PriceRow, ...]
    changed: tuple[tuple[PriceRow, PriceRow], ...]  # as it was, as it is
    same: int  # new rows that were there already
    kept: int  # rows that nothing was said about


def merged(name: str, text: str, fresh: Sequence[PriceRow]) -> Merged:
    """The text of a price list with rows added, and those of the same device, provider, tier, region and number replaced.

    Raises MlctlError for a text that is no price list, and for one that could not be written without a loss.
    """
    text = text if text.strip() else _HEAD
    old, problems = price_files.parsed(Source.of_text(name, text))
    if problems:
        raise MlctlError(problems)
    places = {_key(row): place for place, row in enumerate(old)}
    if len(places) < len(old):
        raise _refused(name, "two of its rows are of the same device, provider, tier, region and number")
    new = {_key(row): row for row in fresh}
    added = tuple(row for key, row in new.items() if key not in places)
    changed = tuple((old[places[key]], row) for key, row in new.items() if key in places and old[places[key]] != row)
    written = _written(text, added, {places[_key(row)]: row for _, row in changed}, name)
    after, problems = price_files.parsed(Source.of_text(name, written))
    expected = [new.get(_key(row), row) for row in old] + list(added)
    if problems or rows_digest(after) != rows_digest(expected):
        raise _refused(name, "its rows would not come out as they should")
    if lost := Counter(comments(text)) - Counter(comments(written)):
        raise _refused(name, f"the comment `{next(iter(lost))[:60]}` would be lost")
    same = len(new) - len(added) - len(changed)
    return Merged(written, added, changed, same, len(old) - same - len(changed))


def _written(text: str, added: Sequence[PriceRow], changed: dict[int, PriceRow], name: str) -> str:
    root: Any = yaml.compose(text, Loader=yaml.CSafeLoader)
    key, rows = next((key, value) for key, value in root.value if key.value == "rows")
    edits: list[_Edit] = []
    for place, row in changed.items():
        if not isinstance(rows.value[place], MappingNode) or rows.value[place].start_mark.index < key.end_mark.index:
            raise _refused(name, f"row {place + 1} stands for what an anchor elsewhere holds")
        edits += _changed(text, rows.value[place], row, name)
    if added:
        edits.append(_added(text, key, rows, added))
    for start, end, new in sorted(edits, reverse=True):
        text = text[:start] + new + text[end:]
    return text


def _changed(text: str, node: MappingNode, row: PriceRow, name: str) -> Iterator[_Edit]:
    """A row in braces is written anew, of one in lines only the fields that differ."""
    if node.flow_style:
        yield node.start_mark.index, node.end_mark.index, _braces(row)
        return
    values = _fields(row)
    for key, value in node.value:
        new = values.pop(key.value, None)
        if new is None:
            yield _line(text, key, value, name)
        elif text[value.start_mark.index : value.end_mark.index] != new:
            yield value.start_mark.index, value.end_mark.index, new
    at = _behind(text, node)
    indent = " " * node.start_mark.column
    yield at, at, "".join(f"{indent}{field}: {value}\n" for field, value in values.items())


def _line(text: str, key: Node, value: Node, name: str) -> _Edit:
    """The whole line of a field that goes."""
    begin, end = text.rfind("\n", 0, key.start_mark.index) + 1, text.find("\n", value.end_mark.index) + 1
    if text[begin : key.start_mark.index].strip() or end == 0 or text[value.end_mark.index : end].strip():
        raise _refused(
            name, f"the line of its field `{text[key.start_mark.index : key.end_mark.index]}` has more in it"
        )
    return begin, end, ""


def _added(text: str, key: Node, rows: Node, added: Sequence[PriceRow]) -> _Edit:
    """The new rows behind the last one."""
    if isinstance(rows, SequenceNode) and rows.flow_style:
        at = rows.end_mark.index - 1
        between = ", " if rows.value else ""
        return at, at, between + ", ".join(map(_braces, added))
    first = isinstance(rows, ScalarNode)  # nothing stands there yet
    at = _behind(text, key if first else rows)
    indent = " " * (2 if first else rows.start_mark.column)
    newline = "" if not text[:at] or text[at - 1] == "\n" else "\n"
    return at, at, newline + "".join(f"{indent}- {_braces(row)}\n" for row in added)


def _behind(text: str, node: Any) -> int:
    """The beginning of the line below a value. The parser's mark of a block lies where the next thing begins."""
    while not isinstance(node, ScalarNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    at = text.find("\n", node.end_mark.index)
    return len(text) if at < 0 else at + 1


def _braces(row: PriceRow) -> str:
    return "{" + ", ".join(f"{field}: {text}" for field, text in _fields(row).items()) + "}"


def _fields(row: PriceRow) -> dict[str, str]:
    """The text of each field, in quotes where it needs them; a date does not."""
    return {field: value if field == "as_of" else _scalar(value) for field, value in row.to_json().items()}


def _scalar(value: Any) -> str:
    # what does not begin with a letter may be a number to some readers of YAML, as `08` is
    style = '"' if isinstance(value, str) and not value[:1].isalpha() else None
    text: str = yaml.safe_dump([value], default_flow_style=True, default_style=style, width=10**9, allow_unicode=True)
    return text.strip()[1:-1]


def _key(row: PriceRow) -> tuple[object, ...]:
    return row.gpu, row.provider, row.tier, row.region, row.min_gpus


def _refused(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "prices.not-safe",
        f"{name} cannot take the new rows: {why}",
        "the file was left as it is",
        "write them into another file with `-o`, or by hand",
    )
