"""One YAML file: its value by the rules of YAML 1.2, and the place of every node when a message needs it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from yaml import MappingNode, Node, ScalarNode, SequenceNode
from yaml._yaml import CParser
from yaml.error import MarkedYAMLError, YAMLError

from mlctl.spec import files, syntax
from mlctl.spec.scalars import plain
from mlctl.types.diagnostic import Diagnostic, MlctlError, SourceRange
from mlctl.types.value import Json

DEPTH_LIMIT = 60
NODE_LIMIT = 500_000  # names and values in one file; ten thousand resources have about 150,000
ALIAS_LIMIT = 200_000  # nodes that aliases may add to those written in the file
_PROBLEM_LIMIT = 100
_CONTROL = re.compile("[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")

# Tags that the composer gives out; any other tag was written in the file.
_COLLECTION, _PLAIN, _QUOTED = "c", "p", "q"

YamlPath = tuple[str | int, ...]


class _TooDeep(Exception):
    """Stops the composer, which would overflow the C stack."""


class _TooMany(Exception):
    """Stops the composer, which would take all memory."""


class _Composer(CParser):
    """The C parser without the resolver of YAML 1.1; counts nodes and refuses deep nesting on the way."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.depth = 0
        self.nodes = 0

    def resolve(self, kind: type[Node], value: object, implicit: bool | tuple[bool, bool]) -> str:
        if isinstance(implicit, bool):
            return _COLLECTION
        return _PLAIN if implicit[0] else _QUOTED

    def descend_resolver(self, parent: Node | None, index: object) -> None:
        self.depth += 1
        self.nodes += 1
        if self.depth > DEPTH_LIMIT:
            raise _TooDeep
        if self.nodes > NODE_LIMIT:
            raise _TooMany

    def ascend_resolver(self) -> None:
        self.depth -= 1


class Source:
    """A parsed file. `value` is JSON-like, None when nothing is in it; `diagnostics` says all that is wrong with it as YAML.

    Nodes are let go once the value is built and made again for the first message, since most commands print none.
    """

    def __init__(self, name: str, text: str) -> None:
        self.name = name
        self.text = text
        self.value: Json = None
        self.diagnostics: list[Diagnostic] = []
        self._lines: list[str] | None = None
        self._root: Node | None = None
        self._children: dict[int, dict[str, tuple[Node, Node]]] = {}

    @classmethod
    def parse(cls, path: Path, name: str | None = None) -> Source:
        """Read a file. Never raises for what stands in it: see `diagnostics`."""
        shown = name if name is not None else str(path)
        try:
            text = files.read_text(path, shown)
        except MlctlError as error:
            source = cls(shown, "")
            source.diagnostics.extend(error.diagnostics)
            return source
        return cls.of_text(shown, text)

    @classmethod
    def of_text(cls, name: str, text: str) -> Source:
        """Parse text as if it stood in a file of this name."""
        source = cls(name, text)
        composer = _Composer(text)
        try:
            root = composer.get_single_node()
            if root is not None:
                source.value = _Builder(source, composer.nodes + ALIAS_LIMIT).build(root, 0)
        except _TooDeep:
            source.diagnostics.append(
                Diagnostic(
                    "spec.too-deep",
                    f"{name} is nested more than {DEPTH_LIMIT} levels deep",
                    "no field of a project lies that deep",
                    "look for a missing bracket or an anchor that holds itself",
                )
            )
        except _TooMany:
            source.diagnostics.append(
                Diagnostic(
                    "spec.too-large",
                    f"{name} holds more than {NODE_LIMIT:,} names and values",
                    "a project file describes resources; one of this size is usually data",
                    "if it is the right file, split it and name the parts in `include`",
                )
            )
        except MlctlError as error:
            source.diagnostics.extend(error.diagnostics)
        except MarkedYAMLError as error:
            source.diagnostics.append(syntax.explain(error, name, source.lines))
        except YAMLError:
            source.diagnostics.append(syntax.unprintable(name, text))
        return source

    @property
    def lines(self) -> Sequence[str]:
        """The lines of the file, as the parser counts them."""
        if self._lines is None:
            self._lines = files.LINE_BREAK.split(self.text)
        return self._lines

    def where(self, path: YamlPath) -> SourceRange | None:
        """The place of a value, or of the nearest one around it that stands in the file."""
        found = self._find(path)
        return None if found is None else self.range(found[1])

    def where_key(self, path: YamlPath) -> SourceRange | None:
        """The place of a field's name; of the value for an item of a list."""
        found = self._find(path)
        return None if found is None else self.range(found[0])

    def range(self, node: Node) -> SourceRange:
        """The place of a node; of its first line when it has more."""
        start, end = node.start_mark, node.end_mark
        text = self.lines[start.line] if start.line < len(self.lines) else ""
        last = end.column if end.line == start.line else len(text)
        return SourceRange(self.name, start.line + 1, start.column + 1, max(last, start.column + 1) + 1, text)

    def _find(self, path: YamlPath) -> tuple[Node, Node] | None:
        """The key node and the value node at a path, as far down as the file goes."""
        if self._root is None:
            try:
                self._root = _Composer(self.text).get_single_node()
            except (YAMLError, _TooDeep, _TooMany):
                return None
        if self._root is None:
            return None
        key = node = self._root
        for part in path:
            if isinstance(node, MappingNode):
                found = self._fields(node).get(str(part))
                if found is None:
                    break
                key, node = found
            elif isinstance(node, SequenceNode) and isinstance(part, int) and part < len(node.value):
                key = node = node.value[part]
            else:
                break
        return key, node

    def _fields(self, node: MappingNode) -> dict[str, tuple[Node, Node]]:
        known = self._children.get(id(node))
        if known is None:
            known = self._children[id(node)] = {}
            merged: list[Node] = []
            for key, value in node.value:
                if _is_merge(key):
                    merged.append(value)
                elif isinstance(key, ScalarNode):
                    known.setdefault(key.value, (key, value))
            for other in (item for value in merged for item in _merged_nodes(value)):
                for name, pair in self._fields(other).items():
                    known.setdefault(name, pair)
        return known


def _is_merge(key: Node) -> bool:
    return key.value == "<<" and key.tag == _PLAIN


def _merged_nodes(value: Node) -> list[MappingNode]:
    """The mappings that a merge key names: one, or a list."""
    items = value.value if isinstance(value, SequenceNode) else [value]
    return [item for item in items if isinstance(item, MappingNode)]


class _Builder:
    """From nodes to a value. Problems go into the source's diagnostics; what they are about becomes None or is left out."""

    def __init__(self, source: Source, budget: int) -> None:
        self.source = source
        self.budget = budget

    def build(self, node: Node, depth: int) -> Json:
        self.budget -= 1
        if self.budget < 0:
            raise MlctlError(
                [
                    Diagnostic(
                        "spec.alias-expansion",
                        f"the aliases of {self.source.name} grow to more than {ALIAS_LIMIT:,} values",
                        "each `*alias` stands for a copy of what it names",
                        "name the same thing less often",
                        where=self.source.range(node),
                    )
                ]
            )
        if depth > DEPTH_LIMIT:
            raise _TooDeep
        tag = node.tag
        if node.__class__ is ScalarNode:
            return self._scalar(node, tag)
        if tag != _COLLECTION:
            self._tagged(node)
        if node.__class__ is SequenceNode:
            return [self.build(item, depth + 1) for item in node.value]
        return self._mapping(node, depth)

    def _scalar(self, node: Node, tag: str) -> Json:
        text: str = node.value
        if tag == _PLAIN:
            try:
                return plain(text)
            except ValueError as error:
                self._problem(
                    node,
                    "spec.bad-number",
                    f"`{text[:40]}` cannot be used as a number",
                    str(error),
                    "write a number of ordinary size, or put quotes around it if it is meant as text",
                )
                return 1  # which most fields take, so that the same place is told of once
        if tag != _QUOTED:
            self._tagged(node)
        if not text.isprintable() and (match := _CONTROL.search(text)):
            self._problem(
                node,
                "spec.control-character",
                f"a text holds the control character U+{ord(match[0]):04X}",
                "no name, path or description has one",
                "remove the escape that makes it",
            )
        return text

    def _mapping(self, node: Node, depth: int) -> dict[str, Json]:
        result: dict[str, Json] = {}
        merged: list[Node] = []
        for key, value in node.value:
            name = self._key(key)
            if name is None:
                continue
            if name == "<<" and key.tag == _PLAIN:
                merged.append(value)
            elif name in result:
                self._duplicate(key, name, node)
            else:
                result[name] = self.build(value, depth + 1)
        for value in merged:
            self._merge(value, result, depth)
        return result

    def _duplicate(self, key: Node, name: str, node: Node) -> None:
        if len(self.source.diagnostics) < _PROBLEM_LIMIT:
            first = next(self.source.range(other) for other, _ in node.value if other.value == name)
            self._problem(
                key,
                "spec.duplicate-key",
                f"`{name[:60]}` stands twice in one block",
                f"the first is at {first}; only one of them could count",
                "remove one of the two, or rename it",
            )

    def _merge(self, value: Node, result: dict[str, Json], depth: int) -> None:
        """Take over the fields of `<<`; those written in the block itself, or merged earlier, win."""
        nodes = _merged_nodes(value)
        if len(nodes) != (len(value.value) if isinstance(value, SequenceNode) else 1):
            self._problem(
                value,
                "spec.bad-merge",
                "`<<` takes a block or a list of blocks",
                "its fields are taken over into the block around it",
                "write `<<: *anchor`",
            )
        for node in nodes:
            for name, item in self.build(node, depth + 1).items():
                result.setdefault(name, item)

    def _key(self, key: Node) -> str | None:
        """A field's name, as it is written: `1:` and `true:` are names too."""
        if key.__class__ is not ScalarNode or (key.value == "" and key.tag == _PLAIN):
            self._problem(
                key,
                "spec.bad-key",
                "a field's name is one word or text",
                "lists and blocks cannot be names, and a name cannot be left out",
                "write `name: value`",
            )
            return None
        if key.tag not in (_PLAIN, _QUOTED):
            self._tagged(key)
        name: str = key.value
        if not name.isprintable():
            self._problem(
                key,
                "spec.control-character",
                "a field's name holds a character that cannot be shown",
                "no field has one",
                "write the name in plain letters",
            )
        return name

    def _tagged(self, node: Node) -> None:
        tag = node.tag.replace("tag:yaml.org,2002:", "!!")
        self._problem(
            node,
            "spec.tag",
            f"the tag `{tag[:40]}` is not supported",
            "every field has its own type, and no value of a project makes an object",
            "remove the tag; quotes make a value text",
        )

    def _problem(self, node: Node, code: str, summary: str, why: str, fix: str) -> None:
        if len(self.source.diagnostics) < _PROBLEM_LIMIT:
            self.source.diagnostics.append(Diagnostic(code, summary, why, fix, where=self.source.range(node)))
