"""The canonical layout of a project file: what `mlctl fmt` writes. Values, comments and anchors stay; a file that cannot keep them is left alone."""

from __future__ import annotations

import io
import re
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from typing import Any

import yaml
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.error import YAMLError
from ruamel.yaml.resolver import VersionedResolver
from ruamel.yaml.scalarstring import ScalarString

from mlctl.spec.source import Source
from mlctl.spec.tidy import comments, ordered, put_back, taken_out
from mlctl.types.diagnostic import MlctlError
from mlctl.types.value import canonical

WIDTH = 120
_ROUNDS = 6  # laying out what is laid out changes nothing more; one round is enough for nearly every file
_NULL = ("tag:yaml.org,2002:null", re.compile("^$"))

YamlPath = tuple[str | int, ...]


class _Untouched(VersionedResolver):
    """Takes every plain scalar for text, so that `2e-5`, `0x1F` and `yes` are written as they were read."""

    @property
    def versioned_resolver(self) -> dict[Any, list[Any]]:
        return {"": [_NULL]}  # a new one each time: its user adds to the lists


def formatted(name: str, text: str) -> str:
    """The text in canonical layout. Raises MlctlError when it is no YAML, or when its values or comments would not survive."""
    source = Source.of_text(name, text)
    if source.diagnostics:
        raise MlctlError(source.diagnostics)
    if source.value is None:
        return text  # nothing but comments
    result = text.replace("\r\n", "\n").replace("\r", "\n")
    for _ in range(_ROUNDS):
        before, result = result, _laid_out(name, result)
        if result == before:
            break
    else:
        raise _refusal(name, "its layout does not come to rest")
    after = Source.of_text(name, result)
    if after.diagnostics or canonical(after.value) != canonical(source.value):
        raise _refusal(name, "its values would not be the same")
    lost = Counter(comments(text)) - Counter(comments(result))
    if lost:
        raise _refusal(name, f"the comment `{next(iter(lost))[:60]}` would be lost")
    return result


def _refusal(name: str, why: str) -> MlctlError:
    return MlctlError.of(
        "fmt.not-safe",
        f"{name} cannot be laid out anew: {why}",
        "the file was left as it is",
        "write the part without braces, one field a line; or lay it out by hand",
    )


def _laid_out(name: str, text: str) -> str:
    """One round: syntax first, then comments, blank lines and the order of sections."""
    try:
        notes = taken_out(text)
        return ordered(put_back(_round_trip(notes.bare, _with_comments(text, notes.spans)), notes.found))
    except (YAMLError, yaml.YAMLError, RecursionError, ValueError, AttributeError, NotImplementedError) as error:
        # a defect of the library on unusual input must not look like one of the file
        raise _refusal(name, f"the writer gave up ({type(error).__name__})") from error


def _round_trip(text: str, noted: list[YamlPath]) -> str:
    """Two spaces a level, lists indented under their field, blocks in braces as long as they fit a line and have no comments inside."""
    writer = YAML(typ="rt", pure=True)
    writer.Resolver = _Untouched
    writer.preserve_quotes = True
    writer.allow_duplicate_keys = True
    writer.allow_unicode = True
    writer.brace_single_entry_mapping_in_flow_sequence = True  # `[{a: 1}]`, not `[a: 1]`
    writer.width = WIDTH
    writer.explicit_start = text.lstrip().startswith("---")
    writer.indent(mapping=2, sequence=4, offset=2)
    data = writer.load(text)
    _keep_anchors(data, set())
    for path in noted:
        _at(data, path).fa.set_block_style()
    opened: set[YamlPath] = set()
    while True:
        stream = io.StringIO()
        writer.dump(data, stream)
        written = stream.getvalue()
        wide = {*_too_wide(written)} - opened
        if not wide:
            return written
        opened |= wide
        for path in wide:
            _at(data, path).fa.set_block_style()


def _at(data: Any, path: YamlPath) -> Any:
    for part in path:
        data = data[part]
    return data


def _keep_anchors(data: Any, seen: set[int]) -> None:
    """Have every anchor written, also one that nothing refers to."""
    if id(data) in seen:
        return
    seen.add(id(data))
    if isinstance(data, CommentedMap | CommentedSeq | ScalarString) and data.anchor.value is not None:
        data.anchor.always_dump = True
    if isinstance(data, CommentedMap):
        for name, item in data.items():
            _keep_anchors(name, seen)
            _keep_anchors(item, seen)
    elif isinstance(data, CommentedSeq):
        for item in data:
            _keep_anchors(item, seen)


def _too_wide(text: str) -> list[YamlPath]:
    """The outermost blocks in braces that do not fit on their line, where a layout of one field a line is a better one.

    That is not so for lists of plain values and lists in lists.
    """
    found: list[YamlPath] = []
    outermost: set[YamlPath] = set()
    for path, node in _collections(text):
        if not node.flow_style or any(path[:length] in outermost for length in range(len(path))):
            continue
        outermost.add(path)
        first, last = node.start_mark, node.end_mark
        fits = first.line == last.line and last.column <= WIDTH
        listed = isinstance(node, yaml.SequenceNode) and (_plain(node) or isinstance(path[-1], int))
        if node.value and not (fits or listed):
            found.append(path)
    return found


def _with_comments(text: str, spans: list[tuple[int, int]]) -> list[YamlPath]:
    """The blocks in braces that have comments inside: on one line there would be no room for those."""
    if not spans:
        return []
    begins = [start for start, _ in spans]
    return [
        path
        for path, node in _collections(text)
        if node.flow_style and bisect_left(begins, node.start_mark.index) < bisect_left(begins, node.end_mark.index)
    ]


def _collections(text: str) -> Iterator[tuple[YamlPath, yaml.CollectionNode]]:
    """Every block and list with the way to it, outer ones before inner ones."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    waiting: list[tuple[YamlPath, yaml.Node | None]] = [((), root)]
    seen: set[int] = set()  # an alias leads to a node again
    while waiting:
        path, node = waiting.pop()
        if not isinstance(node, yaml.CollectionNode) or id(node) in seen:
            continue
        seen.add(id(node))
        yield path, node
        if isinstance(node, yaml.MappingNode):
            waiting += [((*path, key.value), value) for key, value in node.value if isinstance(key, yaml.ScalarNode)]
        else:
            waiting += [((*path, index), value) for index, value in enumerate(node.value)]


def _plain(node: yaml.CollectionNode) -> bool:
    return all(isinstance(item, yaml.ScalarNode) for item in node.value)
