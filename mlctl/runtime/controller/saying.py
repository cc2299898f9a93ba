"""What a controller says in its log. A disk that is full costs the line and nothing else: whoever heals must not die of it."""

from __future__ import annotations

from contextlib import suppress


def say(text: str) -> None:
    """A line, at once."""
    with suppress(OSError):
        print(text, flush=True)
