"""What an engine of language models is asked, and what it gives back. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

Prompt = str | list[dict[str, str]]  # a text, or a conversation


class Answer(NamedTuple):
    """What a model said, or why it said nothing."""

    text: str | None
    error: str | None = None


class Engine(Protocol):
    """Answers prompts."""

    at_once: int | None  # prompts that it is given at most; None: as many as a part has

    def answer(self, asked: Sequence[Prompt], done: Callable[[int], None]) -> list[Answer]:
        """One answer for each; `done` hears how many more there are. Raises MlctlError."""
        ...
