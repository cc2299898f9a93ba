"""Changes of single fields in the text of a project file: every other character stays where it is, comments and layout too.

Places come from the parser's marks. What came out is read again and held against what was meant; a change that could not be made
so is refused with the reason, and the file left as it is.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

import yaml
from yaml import CollectionNode, MappingNode, Node, ScalarNode

from mlctl.spec.source import Source
from mlctl.spec.tidy import comments
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import Json, canonical

REMOVED: Final = object()  # in place of a value: the field goes
_EXPRESSION = "${"
_ALIAS = re.compile(r"\*[^\s,\[\]{}]+")
_TEXT = "tag:yaml.org,2002:str"


def edited(name: str, text: str, path: Sequence[str], value: Json | object) -> str:
    """The text with a field set, or taken out. A block that is set takes over field by field, so that what is written beside its
    fields stays; a name that is short for a block becomes one. Raises MlctlError."""
    return edited_all(name, text, [(path, value)])


def edited_all(
    name: str, text: str, changes: Sequence[tuple[Sequence[str], Json | object]], *, whole: bool = False
) -> str:
    """The same with several fields, one after the other; `whole` lets what is taken out go with the comments inside of it.
    Raises MlctlError, and then none of them is changed."""
    source = Source.of_text(name, text)
    if source.diagnostics:
        raise MlctlError(source.diagnostics)
    wanted, result = source.value, text
    gone: Counter[str] = Counter()
    for path, value in changes:
        before = result
        for part, item in _leaves(wanted, path, value):
            result = _one(name, result, part, item)
        if whole and value is REMOVED:
            gone += Counter(comments(before)) - Counter(comments(result))
        wanted = put(wanted, path, value)
    path = changes[-1][0]
    after = Source.of_text(name, result)
    if after.diagnostics or canonical(after.value) != canonical(wanted):
        why = (
            "an alias elsewhere stands for the same block"
            if _shared(text, path)
            else "the text would not say what is meant"
        )
        raise refusal(name, path, why)
    lost = Counter(_comments(text)) - Counter(comments(result)) - gone
    if lost:
        raise refusal(name, path, f"the comment `{next(iter(lost))[:60]}` would be lost")
    return result


@lru_cache(maxsize=4)
def _comments(text: str) -> tuple[str, ...]:
    """Kept, since one text is often changed in several ways to choose from."""
    return tuple(comments(text))


@lru_cache(maxsize=4)
def _composed(text: str) -> Node | None:
    """None of a text that an earlier change has broken, such as one without an anchor that it goes on to name."""
    try:
        return yaml.compose(text, Loader=yaml.CSafeLoader)
    except yaml.YAMLError:
        return None


def _shared(text: str, path: Sequence[str]) -> bool:
    """Whether a block that a path leads through is that of an alias too."""
    used: Counter[int] = Counter()
    rest = [_composed(text)]
    while rest:
        node = rest.pop()
        used[id(node)] += 1
        if used[id(node)] == 1 and isinstance(node, CollectionNode):
            rest += [part for item in node.value for part in (item if isinstance(item, tuple) else (item,))]
    around = _composed(text)
    for part in path:
        found = _field(around, part) if isinstance(around, MappingNode) else None
        if found is None:
            return False
        around = found[1]
        if used[id(around)] > 1:
            return True
    return False


def refusal(name: str, path: Sequence[str | int], why: str) -> MlctlError:
    """The error of a field that cannot be changed in a text."""
    return MlctlError.of(
        "edit.not-safe",
        f"`{'.'.join(map(str, path))}` cannot be changed in {name}",
        f"{why}; the file was left as it is",
        "change it by hand",
    )


def put(value: Json, path: Sequence[str], item: Json | object) -> Json:
    """The value with a part of it replaced, as a reader of the text would have it."""
    first, *rest = path
    around = {"type": value} if isinstance(value, str) else dict(value) if isinstance(value, Mapping) else {}
    if rest:
        around[first] = put(around.get(first), rest, item)
    elif item is REMOVED:
        around.pop(first, None)
    else:
        around[first] = item
    return around


def _leaves(value: Json, path: Sequence[str], item: Any) -> list[tuple[tuple[str, ...], Any]]:
    """The changes one field at a time: of a block over a block, those of its fields that differ."""
    there: Any = value
    for part in path:
        there = there.get(part, REMOVED) if isinstance(there, Mapping) else REMOVED
    if not isinstance(item, Mapping) or not isinstance(there, Mapping) or not there:
        same = there is not REMOVED and canonical(there) == canonical(item) if item is not REMOVED else there is REMOVED
        return [] if same else [(tuple(path), item)]
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, part in item.items():
        found += _leaves(value, (*path, name), part) if name in there else [((*path, name), part)]
    return [*found, *(((*path, name), REMOVED) for name in there if name not in item)]


def _one(name: str, text: str, path: Sequence[str], item: Any) -> str:
    """One field. What is above it is opened where it is not there."""
    root = _composed(text)
    if root is None and text.strip():
        raise refusal(name, path, "something elsewhere in the file hangs on what was there")
    if not isinstance(root, MappingNode):
        raise refusal(name, path, "the file holds no block")
    around: MappingNode = root
    for depth, part in enumerate(path):
        found = _field(around, part)
        last = depth == len(path) - 1
        if found is None:
            rest = path[depth + 1 :]
            return text if item is REMOVED else _added(text, around, part, _nested(rest, item))
        key, value = found
        if value.start_mark.index < key.end_mark.index:
            raise refusal(name, path, f"`{part}` stands for what an anchor elsewhere holds")
        if isinstance(value, ScalarNode) and _EXPRESSION in value.value:
            raise refusal(name, path, f"`{part}` is `{value.value[:60]}`, which is decided elsewhere")
        if last:
            if item is not REMOVED:
                return _replaced(text, key, value, item)
            cut = _taken_out(text, around, key, value)
            if cut is None:
                raise refusal(name, path, "something else stands on its line, or nothing else in its block")
            return cut
        if isinstance(value, ScalarNode):
            if value.value and value.tag != _TEXT:
                raise refusal(name, path, f"`{part}` is no block")
            inside = _nested(path[depth + 1 :], item)
            short = {"type": value.value, **inside} if value.value else inside
            return _replaced(text, key, value, short)
        if not isinstance(value, MappingNode):
            raise refusal(name, path, f"`{part}` is a list")
        around = value
    raise refusal(name, path, "it names no field")


def _field(around: MappingNode, name: str) -> tuple[Node, Node] | None:
    return next(
        ((key, value) for key, value in around.value if isinstance(key, ScalarNode) and key.value == name), None
    )


def _nested(path: Sequence[str], item: Any) -> Any:
    for part in reversed(path):
        item = {part: item}
    return item


def written(item: Any) -> str:
    """A value on one line, blocks in braces."""
    text = yaml.safe_dump([item], default_flow_style=True, width=10**9, sort_keys=False, allow_unicode=True)
    return text.strip()[1:-1]


def _replaced(text: str, key: Node, value: Node, item: Any) -> str:
    start, end = value.start_mark.index, _end(text, value)
    if start == end:  # a field without a value
        return f"{text[: _colon(text, key)]} {written(item)}{text[_colon(text, key) :]}"
    if isinstance(value, CollectionNode) and not value.flow_style:  # its first field stands on a line below the name
        start = _colon(text, key)
        return f"{text[:start]} {written(item)}{text[end:]}"
    return f"{text[:start]}{written(item)}{text[end:]}"


def _colon(text: str, key: Node) -> int:
    """Behind the colon of a field's name."""
    return text.index(":", key.end_mark.index) + 1


def _added(text: str, around: MappingNode, name: str, item: Any) -> str:
    """A new last field of a block."""
    line = f"{written(name)}: {written(item)}"
    if around.flow_style:
        closing = around.end_mark.index - 1
        body = text[:closing].rstrip(" \t")
        comma = "" if not around.value or body.endswith(",") else ","
        between = "" if body.endswith("{") else " "
        return f"{body}{comma}{between}{line}{text[closing:]}"
    first, _ = around.value[0]
    column = first.start_mark.column
    at = _behind(text, _end(text, around))
    newline = "\r\n" if "\r\n" in text else "\n"
    before = "" if at == 0 or text[at - 1] == "\n" else newline
    return f"{text[:at]}{before}{' ' * column}{line}{newline}{text[at:]}"


def _taken_out(text: str, around: MappingNode, key: Node, value: Node) -> str | None:
    """Without a field; None where that would leave a block without one, or touch what shares its line."""
    start, end = key.start_mark.index, _end(text, value)
    if around.flow_style:
        before, after = text[:start].rstrip(), text[end:].lstrip()
        if after.startswith(","):
            return before + (" " if not before.endswith("{") else "") + after[1:].lstrip()
        return before.removesuffix(",").rstrip() + after
    begin, below = text.rfind("\n", 0, start) + 1, _behind(text, end)
    beside = text[end:below].strip()
    if len(around.value) == 1 or text[begin:start].strip() or (beside and not beside.startswith("#")):
        return None
    return text[:begin] + text[below:]


def _end(text: str, node: Node) -> int:
    """Behind the last character of a value. The parser's mark of a block lies where the next thing begins."""
    if isinstance(node, CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        if (
            isinstance(last, tuple) and last[1].start_mark.index < last[0].end_mark.index
        ):  # an alias: its anchor is above
            return _alias_end(text, _colon(text, last[0]))
        return _end(text, last[1] if isinstance(last, tuple) else last)
    end: int = node.end_mark.index
    if isinstance(node, ScalarNode) and node.style in ("|", ">"):
        end = node.start_mark.index + len(text[node.start_mark.index : end].rstrip())
    return end


def _alias_end(text: str, start: int) -> int:
    """Behind the first alias that follows a place."""
    found = _ALIAS.search(text, start)
    return start if found is None else found.end()


def _behind(text: str, end: int) -> int:
    """The beginning of the line below a place, past a comment that stands beside it."""
    at = text.find("\n", end)
    return len(text) if at < 0 else at + 1
