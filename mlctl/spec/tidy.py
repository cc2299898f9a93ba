"""Lines of a YAML text between its values: comments, blank lines, and the order of the sections of a project."""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import yaml

from mlctl.types.value import canonical

# The order in which a project reads: who and with what, then the way of the data to the served model, then rules over all.
ORDER = (
    "project", "description", "owner", "include", "variables", "environments", "modules", "state", "tracking", "feature_store",
    "datasets", "data_checks", "entities", "feature_views", "training", "evaluations", "deployments", "experiments", "monitors",
    "schedules",
)  # fmt: skip
LAST = ("prices", "budget", "policies", "moved", "import")
_HEADER = re.compile(r"[|>][^\n#]*(#[^\n]*)?")


def comments(text: str) -> list[str]:
    """Every comment of a text, without the space around it."""
    return [text[start:end].strip() for start, end in _comment_spans(text)]


@dataclass(frozen=True, slots=True)
class Note:
    """A comment, or a blank line for empty `text`, by the leaf it belongs to: before it on a line of its own, or beside it."""

    text: str
    leaf: int
    beside: bool = False
    below: bool = True  # as deep as the leaf after it; else as deep as the one before


@dataclass(frozen=True, slots=True)
class Notes:
    """What stands between the values of a text, and the text without it. Leaves are counted: no layout changes their order."""

    bare: str
    found: list[Note]
    spans: list[tuple[int, int]]  # of the comments in the text they were taken from


def taken_out(text: str) -> Notes:
    """Take comments and blank lines out, so that nothing can move them to a wrong place or into a value."""
    page = _Page(text)
    spans = list(_comment_spans(text))
    comment_of = {page.line(start): (start, end) for start, end in spans}
    found: list[Note] = []
    lines: list[str] = []
    for number, line in enumerate(page.lines):
        if number in comment_of:
            start, end = comment_of[number]
            before = text[page.starts[number] : start].rstrip()
            note, shown = page.note(start, end, before), before
            found.append(note)
            if note.beside or before:
                lines.append(shown)
        elif line.strip() or number in page.inside:
            lines.append(line)
        else:
            found.append(Note("", page.next_leaf(page.starts[number])))
    return Notes("\n".join(lines) + "\n", found, spans)


def put_back(bare: str, notes: list[Note]) -> str:
    """Put comments and blank lines to their leaves, one blank line at most, two spaces before a comment at the end of a line."""
    page = _Page(bare)
    lines = [line if number in page.inside else line.rstrip() for number, line in enumerate(page.lines)]
    above: dict[int, list[str]] = {}
    for note in notes:
        number = page.line_of_leaf(note.leaf)
        while note.beside and number + 1 in page.going_on:
            number += 1
        if note.beside and "  #" not in lines[number] + above.get(-1 - number, [""])[0]:
            lines[number] = f"{lines[number]}  {note.text}"
            above[-1 - number] = ["  #"]  # only one comment has room on a line
        else:
            other = note.leaf if note.below else note.leaf - 1
            above.setdefault(number, []).append(" " * page.indent(other) + note.text if note.text else "")
    result: list[str] = []
    for number, line in enumerate(lines):
        for item in [*above.get(number, []), line]:
            if item or number in page.inside or (result and result[-1]):
                result.append(item)
    return "\n".join(result).strip("\n") + "\n"


class _Page:
    """A text with its lines and its leaves: scalars, aliases, and lists and blocks with nothing in them."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.lines = text.split("\n")
        self.starts = _line_starts(text)
        self.leaves = _leaves(text)
        self.begins = [start for start, _ in self.leaves]
        self.inside, self.going_on = _inside_scalars(text, self.starts)

    def line(self, index: int) -> int:
        """The number of the line that a character is on."""
        return _line_of(self.starts, index)

    def next_leaf(self, index: int) -> int:
        """The first leaf that begins behind a place; one more than there are at the end."""
        return bisect_left(self.begins, index)

    def line_of_leaf(self, leaf: int) -> int:
        """The line that a leaf begins on; the one behind the last for one more than there are."""
        return self.line(self.begins[leaf]) if leaf < len(self.begins) else len(self.lines) - 1

    def indent(self, leaf: int) -> int:
        """How deep the line lies that a leaf begins on."""
        if not 0 <= leaf < len(self.begins):
            return 0
        line = self.lines[self.line_of_leaf(leaf)]
        return len(line) - len(line.lstrip(" "))

    def note(self, start: int, end: int, before: str) -> Note:
        """A comment by what it belongs to. `before` is what stands before it on its line."""
        number = self.line(start)
        text, following = self.text[start:end].rstrip(), self.next_leaf(start)
        if before.strip().strip("-").strip():
            first = self.next_leaf(self.starts[number])
            return Note(text, first if first < following else max(0, following - 1), beside=True)
        column = start - self.starts[number]
        below, above = self.indent(following), self.indent(following - 1)
        return Note(text, following, below=bool(before.strip()) or abs(column - below) <= abs(column - above))


def _leaves(text: str) -> list[tuple[int, int]]:
    """Where each leaf begins and ends, in the order of the text."""
    found: list[tuple[int, int]] = []
    opened: list[tuple[int, int]] = []  # where a list or block begins, and how many leaves were before it
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        if event.start_mark is None or event.end_mark is None:  # a parser gives both; the type allows for made events
            continue
        if isinstance(event, yaml.ScalarEvent | yaml.AliasEvent):
            found.append((event.start_mark.index, event.end_mark.index))
        elif isinstance(event, yaml.CollectionStartEvent):
            opened.append((event.start_mark.index, len(found)))
        elif isinstance(event, yaml.CollectionEndEvent):
            start, count = opened.pop()
            if count == len(found):
                found.append((start, event.end_mark.index))
    return found


def ordered(text: str) -> str:
    """The sections in their order, a blank line around each that takes more than a line. Left as it is when an anchor forbids it."""
    head, parts = _sections(text)
    if not parts:
        return text
    for sections in (sorted(parts, key=lambda part: _rank(part[0])), parts):
        joined = _joined(head, sections)
        if _value(joined) == _value(text):
            return joined
    return text


def _rank(name: str) -> int:
    if name in ORDER:
        return ORDER.index(name)
    return len(ORDER) + 1 + LAST.index(name) if name in LAST else len(ORDER)


def _value(text: str) -> str | None:
    """A text's value with everything as text, to tell whether an alias still means the same; None when it has none."""
    try:
        return canonical(yaml.load(text, Loader=yaml.CBaseLoader))  # noqa: S506  (it makes text, lists and blocks, nothing else)
    except (yaml.YAMLError, TypeError, ValueError):
        return None


def _joined(head: str, parts: list[tuple[str, str, bool]]) -> str:
    """Sections with one blank line between them; short ones stay together when they were."""
    text = head
    for index, (_, body, apart) in enumerate(parts):
        beside = parts[index - 1][1] if index else body
        room = index > 0 and (apart or _tall(body) or _tall(beside))
        text += ("\n" if room else "") + body.strip("\n") + "\n"
    return text


def _tall(body: str) -> bool:
    """Whether a section takes more than a line, the comments above it left out."""
    lines = body.strip("\n").split("\n")
    return any(not line.startswith("#") for line in lines[:-1])


def _sections(text: str) -> tuple[str, list[tuple[str, str, bool]]]:
    """What stands before the first section, and each section: name, lines with the comments right above, whether a blank line was before."""
    root = yaml.compose(text, Loader=yaml.CSafeLoader)
    if not isinstance(root, yaml.MappingNode) or root.flow_style or not root.value:
        return text, []
    lines = text.split("\n")
    first = root.value[0][0].start_mark.line
    if any(
        key.start_mark.column or not isinstance(key, yaml.ScalarNode) or lines[key.start_mark.line][:1] in "?&!"
        for key, _ in root.value
    ):
        return text, []
    begins = [first]
    for key, _ in root.value[1:]:
        line = key.start_mark.line
        while lines[line - 1].startswith("#"):
            line -= 1
        begins.append(line)
    ends = [*begins[1:], len(lines)]
    parts = []
    for (key, _), begin, end in zip(root.value, begins, ends, strict=True):
        apart = begin > 0 and not lines[begin - 1].strip()
        parts.append((key.value, "\n".join(lines[begin:end]), apart))
    return "".join(f"{line}\n" for line in lines[:first]), parts


def _comment_spans(text: str) -> Iterator[tuple[int, int]]:
    """Where each comment begins and ends: what stands between the tokens of YAML is space and comments."""
    position = 0
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        start, end = token.start_mark.index, token.end_mark.index
        yield from _spans(text, position, start)
        if isinstance(token, yaml.ScalarToken) and token.style in ("|", ">"):
            header = _HEADER.match(text, start)
            if header is not None and header[1]:
                yield header.start(1), header.end(1)
        position = max(position, end)
    yield from _spans(text, position, len(text))


def _spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    while start < end:
        mark = text.find("#", start, end)
        if mark < 0:
            return
        stop = text.find("\n", mark, end)
        start = end if stop < 0 else stop
        yield mark, start


def _line_starts(text: str) -> list[int]:
    return [0, *(match.end() for match in re.finditer("\n", text))]


def _line_of(starts: list[int], index: int) -> int:
    return bisect_right(starts, index) - 1


def _inside_scalars(text: str, starts: list[int]) -> tuple[set[int], set[int]]:
    """Lines that a text of several lines goes on in, where nothing may be moved; and those of them that it may end on."""
    inside: set[int] = set()
    going_on: set[int] = set()
    for token in yaml.scan(text, Loader=yaml.CSafeLoader):
        if isinstance(token, yaml.ScalarToken):
            first = _line_of(starts, token.start_mark.index)
            last = _line_of(starts, max(token.start_mark.index, token.end_mark.index - 1))
            inside.update(range(first + 1, last + 1))
            if token.style not in ("|", ">"):
                going_on.update(range(first + 1, last + 1))
    return inside, going_on
