"""Colour and width of the terminal, decided once. Everything printed is legible without colour."""

from __future__ import annotations

import os
import shutil
import sys
from typing import TextIO

_CODES = {
    "bold": "1",
    "dim": "2",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "blue": "34",
    "magenta": "35",
    "cyan": "36",
}


def wants_color(stream: TextIO) -> bool:
    """Whether a stream takes colour: FORCE_COLOR, then NO_COLOR, CI and TERM=dumb, then whether it is a terminal."""
    if os.environ.get("FORCE_COLOR"):
        return True
    if os.environ.get("NO_COLOR") or os.environ.get("CI") or os.environ.get("TERM") == "dumb":
        return False
    return stream.isatty()


def interactive(stream: TextIO) -> bool:
    """Whether a person watches: a terminal and not CI."""
    return stream.isatty() and sys.stdin.isatty() and not os.environ.get("CI")


def width() -> int:
    """Columns to write in."""
    return min(shutil.get_terminal_size((120, 40)).columns, 160)


class Paint:
    """Marks text for a terminal, or leaves it alone."""

    def __init__(self, color: bool) -> None:
        self.color = color

    def __call__(self, text: str, *styles: str) -> str:
        """The text in the named styles."""
        if not self.color or not styles or not text:
            return text
        return f"\x1b[{';'.join(_CODES[style] for style in styles)}m{text}\x1b[0m"


def columns(rows: list[list[str]], *, gap: int = 2) -> list[str]:
    """Rows of plain text as aligned lines; the last column keeps its length."""
    if not rows:
        return []
    widths = [max(len(row[index]) for row in rows) for index in range(len(rows[0]) - 1)]
    return [
        (" " * gap).join([cell.ljust(size) for cell, size in zip(row, widths, strict=False)] + [row[-1]]).rstrip()
        for row in rows
    ]


def figure(number: float | int) -> str:
    """A number in few digits."""
    if isinstance(number, int) or (number.is_integer() and abs(number) < 1e15):
        return f"{int(number):,}" if abs(number) < 1e9 else f"{number:.4g}"
    return f"{number:,.0f}" if 1000 <= abs(number) < 1e9 else f"{number:.4g}"


def seconds(value: float) -> str:
    """A length of time as people say it: `0.4 s`, `12 s`, `3 min 05 s`, `2 h 10 min`."""
    if value < 10:
        return f"{value:.1f} s"
    if value < 60:
        return f"{value:.0f} s"
    minutes, rest = divmod(round(value), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes:02d} min"
