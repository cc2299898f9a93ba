"""The regular expressions of rules in the flavours of the engines: RE2 is what is written, the others are made to mean the same.

The rule asks whether a text matches as a whole. Character classes are those of RE2 (ASCII only), `.` is everything but a
line feed, and `$` the very end. What a flavour cannot say is refused, and never approximated.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

Flavour = Literal["re2", "python", "java", "postgres", "snowflake"]

_DIGIT, _WORD, _SPACE = "0-9", "0-9A-Za-z_", r"\t\n\f\r "
_CLASSES = {"d": _DIGIT, "w": _WORD, "s": _SPACE}
_POSIX = {
    "alnum": "0-9A-Za-z", "alpha": "A-Za-z", "ascii": "\x00-\x7f", "blank": r"\t ", "cntrl": "\x00-\x1f\x7f", "digit": _DIGIT,
    "graph": "!-~", "lower": "a-z", "print": " -~", "punct": r"!-/:-@\[-`{-~", "space": "\t\n\x0b\f\r ", "upper": "A-Z",
    "word": _WORD, "xdigit": "0-9A-Fa-f",
}  # fmt: skip
_CONTROLS = {"a": "\a", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_REPEAT = re.compile(r"\{\d+(?:,\d*)?\}")
_LEADING = re.compile(r"\(\?([is]+)\)")
_NAMED = re.compile(r"\(\?P?<\w+>")
_SCOPED = re.compile(r"\(\?([is]*)(?:-([is]+))?:")
_HEX = re.compile(r"x(?:\{([0-9A-Fa-f]{1,6})\}|([0-9A-Fa-f]{2}))")
_END = {"python": r"\Z", "java": r"\z", "postgres": r"\Z", "snowflake": "$"}


@dataclass(frozen=True, slots=True)
class _Atom:
    """A piece of the pattern in the other flavour, and where the next one begins."""

    text: str
    end: int
    repeats: bool = False  # a quantifier


def flavoured(pattern: str, flavour: Flavour) -> str:
    """A pattern that finds, anchored at both ends, what RE2 matches as a whole. Raises ValueError that says what cannot be said."""
    if flavour == "re2":
        return f"^(?:{pattern})$"
    flags = ""
    if leading := _LEADING.match(pattern):
        flags, pattern = "".join(dict.fromkeys(leading[1])), pattern[leading.end() :]
    body = _Translation(pattern, flavour, dot_is_all="s" in flags).text()
    if flavour == "python":
        return rf"(?{flags}:{body})\Z"
    if flavour == "java":  # `d`: only a line feed ends a line; `u`: letters of all alphabets have a case
        return rf"(?d{flags.replace('i', 'iu')})^(?:{body})\z"
    if flavour == "snowflake":  # its REGEXP_LIKE looks at the whole text by itself
        if flags:
            raise ValueError("flags inside a pattern are not known there")
        return body
    return f"{'(?i)' if 'i' in flags else ''}^(?:{body})$"


class _Translation:
    """One pattern on its way into another flavour."""

    def __init__(self, pattern: str, flavour: Flavour, *, dot_is_all: bool) -> None:
        self.pattern = pattern
        self.flavour = flavour
        # PostgreSQL's dot takes a line feed, and cannot be told not to without its negated sets doing the same.
        self.dot = "[^\n]" if flavour == "postgres" and not dot_is_all else "."

    def text(self) -> str:
        """The whole pattern, piece by piece."""
        pieces, at, repeated = [], 0, False
        while at < len(self.pattern):
            atom = self._atom(at)
            if repeated and atom.repeats:
                if atom.text != "?":
                    raise ValueError(f"RE2 knows no repetition of a repetition, as in `{self.pattern[: atom.end]}`")
                atom = _Atom("", atom.end)  # lazy or not makes no difference to a match of the whole
            pieces.append(atom.text)
            repeated, at = atom.repeats, atom.end
        return "".join(pieces)

    def _atom(self, at: int) -> _Atom:
        char = self.pattern[at]
        if char == "\\":
            return self._escape(at + 1)
        if char == "[":
            return self._bracket(at + 1)
        if self.pattern.startswith("(?", at):
            return self._group(at)
        if char == "{":
            found = _REPEAT.match(self.pattern, at)
            return _Atom(found[0], found.end(), True) if found else _Atom(r"\{", at + 1)
        if char == "$":
            return _Atom(_END[self.flavour], at + 1)
        if char == ".":
            return _Atom(self.dot, at + 1)
        if char == "(":
            return _Atom(self._open(), at + 1)
        if char == "}":
            return _Atom(r"\}", at + 1)
        return _Atom(char, at + 1, char in "*+?")

    def _escape(self, at: int) -> _Atom:
        """What a backslash introduces, outside of brackets."""
        char = self.pattern[at : at + 1]
        if char.lower() in _CLASSES and char:
            return _Atom(f"[{'^' if char.isupper() else ''}{self._controls(_CLASSES[char.lower()])}]", at + 1)
        if char in ("b", "B") and self.flavour == "python":
            return _Atom(rf"(?a:\{char})", at + 1)
        if char == "A" and self.flavour != "snowflake":
            return _Atom(r"\A", at + 1)
        if char == "z":
            return _Atom(_END[self.flavour], at + 1)
        return self._literal(at)

    def _literal(self, at: int) -> _Atom:
        """An escape that stands for one character."""
        char = self.pattern[at : at + 1]
        if char in _CONTROLS and char:
            return _Atom(_CONTROLS[char], at + 1)
        if found := _HEX.match(self.pattern, at):
            return _Atom(_quoted(chr(int(found[1] or found[2], 16))), found.end())
        if not char or char.isalnum():
            raise ValueError(f"`\\{char}` has no equal there")
        return _Atom(_quoted(char), at + 1)

    def _group(self, at: int) -> _Atom:
        """What begins with `(?`."""
        if found := _NAMED.match(self.pattern, at):
            return _Atom(self._open(), found.end())
        found = _SCOPED.match(self.pattern, at)
        if found is None:
            raise ValueError(f"`{self.pattern[at : at + 4]}` is not known to RE2, or has no equal there")
        if found[1] or found[2]:
            if self.flavour not in ("python", "java"):
                raise ValueError("flags of a part of the pattern are not known there")
            on = found[1].replace("i", "iu") if self.flavour == "java" else found[1]
            return _Atom(f"(?{on}{'-' + found[2] if found[2] else ''}:", found.end())
        return _Atom(self._open(), found.end())

    def _open(self) -> str:
        """The beginning of a group, of which nobody asks what it matched; Snowflake knows no other."""
        return "(" if self.flavour == "snowflake" else "(?:"

    def _bracket(self, at: int) -> _Atom:
        """A set of characters, `at` behind its opening bracket."""
        pieces = ["["]
        if self.pattern.startswith("^", at):
            pieces.append("^")
            at += 1
        first = True
        while first or not self.pattern.startswith("]", at):
            if at >= len(self.pattern):
                raise ValueError("a set of characters is not closed")
            atom = self._member(at)
            pieces.append(atom.text)
            at, first = atom.end, False
        return _Atom("".join(pieces) + "]", at + 1)

    def _member(self, at: int) -> _Atom:
        char = self.pattern[at]
        if self.pattern.startswith("[:", at):
            name, closed, _ = self.pattern[at + 2 :].partition(":]")
            if not closed or name not in _POSIX:
                raise ValueError(f"`[:{name[:10]}` is no class of characters that is known there")
            return _Atom(self._controls(_POSIX[name]), at + len(name) + 4)
        if char == "\\":
            following = self.pattern[at + 1 : at + 2]
            if following in _CLASSES and following:
                return _Atom(self._controls(_CLASSES[following]), at + 2)
            return self._literal(at + 1)
        return _Atom("\\" + char if char in "[]&|~" else char, at + 1)

    def _controls(self, members: str) -> str:
        """Control characters as themselves: not every flavour knows their escapes inside brackets."""
        return members.replace(r"\t", "\t").replace(r"\n", "\n").replace(r"\f", "\f").replace(r"\r", "\r")


def _quoted(char: str) -> str:
    """A character that means itself."""
    return char if char.isalnum() or char in " _" or ord(char) < 32 or ord(char) > 126 else "\\" + char
