"""Text that stays text in the Markdown of code hosts: no markup, no mention of a person, no end of a block."""

from __future__ import annotations

import re
from collections.abc import Iterable

from mlctl.views.human.text import safe

_LONGEST = 160  # characters of one value
# Everything that means something in Markdown or HTML; `www.` becomes a link even inside of an element. A line below between two
# letters means nothing, and is read as it is on a terminal: `causal_lm`.
_MARKUP = re.compile(
    r"[&<>`*\[\](){}|\\~#!@$\"]|:(?=[\w/+-])|(?<=www)\.|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])", re.IGNORECASE
)
_FENCES = re.compile(r"`{3,}")


def code(text: str) -> str:
    """Any text as inline code, in a line or in the cell of a table. Hosts do not look for mentions and links in code."""
    return f"<code>{_escaped(clipped(text))}</code>"


def plain(text: str) -> str:
    """Any text with what would be markup written as references, and a space of no width where it would mention somebody."""
    return _escaped(text).replace("&#64;", "&#64;&#8203;").replace("&#35;", "&#35;&#8203;")


def _escaped(text: str) -> str:
    return _MARKUP.sub(lambda match: f"&#{ord(match[0])};", safe(text))


def clipped(text: str, longest: int = _LONGEST) -> str:
    """The beginning of a text that is long."""
    return text if len(text) <= longest else text[: longest - 1] + "…"


def fenced(lines: Iterable[str], language: str = "diff") -> str:
    """Lines as a block of code, with a fence that none of them can close."""
    body = "\n".join(lines)
    fence = "`" * max(3, *(len(run) + 1 for run in _FENCES.findall(body)), 3)
    return f"{fence}{language}\n{body}\n{fence}"
