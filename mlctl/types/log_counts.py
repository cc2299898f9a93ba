"""What a prediction log holds of requests and tokens, as sums."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Tokens:
    """Requests of about the same length: prices are by the length of a request, so that a mean over all would not do."""

    requests: int = 0
    prompt: int = 0
    answer: int = 0
    cached: int = 0


@dataclass
class Counts:
    """What a log says of the time since a moment. `tokens` by day, and by the digits of a prompt's length in binary."""

    requests: int = 0
    answered: int = 0
    first: str = ""
    last: str = ""
    tokens: dict[tuple[str, int], Tokens] = field(default_factory=dict)
    uncounted: int = 0  # answers of a language model whose tokens nobody counted

    @property
    def total(self) -> Tokens | None:
        """The tokens of all requests; None where none was counted, as for a model of rows."""
        if not self.tokens:
            return None
        names = ("requests", "prompt", "answer", "cached")
        return Tokens(*(sum(getattr(item, name) for item in self.tokens.values()) for name in names))
