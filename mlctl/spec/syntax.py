"""The YAML parser's errors in plain words, at the place a person would look."""

from __future__ import annotations

import re
from collections.abc import Sequence

from yaml.error import Mark, MarkedYAMLError

from mlctl.spec.files import LINE_BREAK
from mlctl.types.diagnostic import Diagnostic, SourceRange

_TAB = re.compile(r"[ \t]*\t")
_CONFLICT = re.compile(r"(?:<<<<<<<|=======|>>>>>>>)(?: |$)")
_UNPRINTABLE = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")

# What the parser says, what it means, and what helps.
_PLAIN_WORDS = {
    "mapping values are not allowed in this context": (
        "a `:` stands where no field can begin",
        "indent fields of one block alike, and put quotes around a text that holds `: `",
    ),
    "block sequence entries are not allowed in this context": (
        "a `-` stands where no list can begin",
        "begin the list in a line of its own",
    ),
    "did not find expected key": (
        "a field was expected here",
        "indent fields of one block alike, and put quotes around a whole text, not around its beginning",
    ),
    "did not find expected '-' indicator": (
        "another item of the list was expected here",
        "begin it with `-`, or indent the line as the block it belongs to",
    ),
    "did not find expected ',' or '}'": ("a `{` is not closed", "add the missing `,` or `}`"),
    "did not find expected ',' or ']'": ("a `[` is not closed", "add the missing `,` or `]`"),
    "did not find expected node content": (
        "a value was expected here",
        "write a value, or put quotes around it if it begins with a bracket or a sign",
    ),
    "could not find expected ':'": ("this line is no field: it has no `:`", "write `name: value`"),
    "found unexpected end of stream": ("a quoted text is not closed", "add the missing quote"),
    "found undefined alias": (
        "this `*alias` names an anchor that does not exist",
        "define it further up with `&name`, or put quotes around a text that begins with `*`",
    ),
    "second occurrence": ("this anchor is defined twice", "give each anchor its own name"),
    "found character that cannot start any token": (
        "a value cannot begin with this character",
        "put quotes around the value",
    ),
    "found unknown escape character": (
        "this `\\` begins no escape that YAML knows",
        "write `\\\\` for a backslash, or use single quotes",
    ),
    "but found another document": (
        "a second document begins here",
        "a project file holds one document; use `include` for more files",
    ),
    "did not find expected <document start>": (
        "something stands behind the end of the document",
        "remove it, or indent it as the block it belongs to",
    ),
}


def explain(error: MarkedYAMLError, name: str, lines: Sequence[str]) -> Diagnostic:
    """One diagnostic for what stopped the parser."""
    problem = error.problem or error.context or "it is not YAML"
    mark = error.problem_mark or error.context_mark
    where = _place(_best(mark, error.context_mark, problem), name, lines)
    text = where.text if where is not None else ""
    if (line := next((line for line in lines if _CONFLICT.match(line)), None)) is not None:
        number = list(lines).index(line) + 1
        conflict = SourceRange(name, number, 1, len(line) + 1, line)
        return Diagnostic(
            "spec.merge-conflict",
            f"{name} holds a merge conflict",
            "both sides still stand in the file",
            "resolve the conflict and remove its marks",
            where=conflict,
        )
    if where is not None and (match := _TAB.match(text)):
        column = text.index("\t") + 1
        tab = SourceRange(name, where.line, column, match.end() + 1, text)
        return Diagnostic(
            "spec.tab",
            "a tab is used as indentation",
            "YAML indents with spaces only, since editors do not agree on the width of a tab",
            "replace the tab by spaces",
            where=tab,
        )
    words, fix = _PLAIN_WORDS.get(problem, (problem, "see the line and the one above it"))
    return Diagnostic("spec.syntax", f"not valid YAML: {words}", f"the parser says: {problem}", fix, where=where)


def unprintable(name: str, text: str) -> Diagnostic:
    """A control character in the file itself."""
    match = _UNPRINTABLE.search(text)
    if match is None:
        return Diagnostic(
            "spec.syntax",
            f"{name} cannot be read as YAML",
            "it holds a character that YAML does not allow",
            "remove it",
        )
    before = LINE_BREAK.split(text[: match.start()])
    line = before[-1] + LINE_BREAK.split(text[match.start() : match.start() + 200])[0]
    column = len(before[-1]) + 1
    return Diagnostic(
        "spec.control-character",
        f"{name} holds the control character U+{ord(match[0]):04X}",
        "YAML text has none; the file may be binary",
        "remove it",
        where=SourceRange(name, len(before), column, column + 1, line),
    )


def _best(mark: Mark | None, context: Mark | None, problem: str) -> Mark | None:
    """Where something was opened and never closed, the opening is the place to show."""
    opened = (
        problem == "found unexpected end of stream"
        or problem.startswith("did not find expected ','")
        or problem == "could not find expected ':'"
    )
    return context if opened and context is not None else mark


def _place(mark: Mark | None, name: str, lines: Sequence[str]) -> SourceRange | None:
    if mark is None or mark.line >= len(lines):
        return None
    text = lines[mark.line]
    return SourceRange(name, mark.line + 1, mark.column + 1, mark.column + 2, text)
