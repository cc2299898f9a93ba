"""What a request to a language model costs. What has no price costs an unknown sum, and never nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from decimal import Decimal
from fractions import Fraction
from typing import Protocol

from mlctl.estimate.api_prices import ApiPrices
from mlctl.runtime.monitor.exchanges import Row
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.monitor_llm import CostPart, Price

INPUT, OUTPUT = "input", "output"
_MILLION = 1_000_000


class Prices(Protocol):
    """A way to price requests. `unknown` counts those it has no price for, by the reason."""

    unknown: Counter[str]
    source: str

    def cost(self, row: Row) -> dict[str, Fraction] | None:
        """US dollars of the input and of the output; None when that is not known."""
        ...


def model_of(row: Row) -> str:
    """Who is paid: the model that answered."""
    return str(row["response_model"] or row["request_model"] or row["model"])


def tokens_of(row: Row) -> dict[str, int] | None:
    """Tokens by kind; None when they were not counted."""
    found = {INPUT: row["prompt_tokens"], OUTPUT: row["completion_tokens"]}
    if not all(type(count) is int and count >= 0 for count in found.values()):
        return None
    return found


def cached_of(row: Row) -> int:
    """Of the tokens of the input, those that were in the provider's cache."""
    count = row["cached_tokens"]
    return min(count, row["prompt_tokens"]) if type(count) is int and count > 0 else 0


class Listed:
    """Prices that the project lists, each from its day on: a request costs what it cost when it was made."""

    source = "the project"

    def __init__(self, prices: Mapping[str, Sequence[Price]]) -> None:
        self._prices = {
            model: sorted(items, key=lambda item: "" if item.valid_from is None else item.valid_from.isoformat(), reverse=True)
            for model, items in prices.items()
        }  # fmt: skip
        self.unknown: Counter[str] = Counter()

    def cost(self, row: Row) -> dict[str, Fraction] | None:
        """By the newest price that was in force."""
        model, day = model_of(row), row["ts"].date()
        price = next(
            (item for item in self._prices.get(model, ()) if item.valid_from is None or item.valid_from <= day), None
        )
        if price is None:
            self.unknown[f"{model} has no price" if model not in self._prices else f"{model} had no price yet"] += 1
            return None
        cached = cached_of(row)
        if cached and price.cached_per_million is None:
            self.unknown[f"cached tokens of {model} have no price"] += 1
            return None
        fresh = (row["prompt_tokens"] - cached) * _per_token(price.input_per_million)
        held = cached * _per_token(price.cached_per_million or 0.0)
        return {INPUT: fresh + held, OUTPUT: row["completion_tokens"] * _per_token(price.output_per_million)}


class Table:
    """The prices of a provider, by date and tier, as the package `genai-prices` knows them. It reads nothing from the network."""

    def __init__(self, provider: str) -> None:
        try:
            self._prices = ApiPrices(provider)
        except ImportError:
            raise MlctlError.of(
                "monitor.no-prices",
                "there is no table of prices",
                "`cost.provider` takes prices from the package genai-prices, which is not installed",
                "`pip install 'mlctl[prices]'`, or list `prices`",
            ) from None
        self._provider = provider
        self.source = self._prices.source
        self.unknown: Counter[str] = Counter()

    def cost(self, row: Row) -> dict[str, Fraction] | None:
        """By the price at the time of the request."""
        model = model_of(row)
        try:
            found = self._prices.cost(model, row["prompt_tokens"], row["completion_tokens"], cached_of(row), row["ts"])
        except LookupError:
            self.unknown[f"{self._provider} has no price for {model}"] += 1
            return None
        parts: dict[str, Decimal | None] = dict(zip((INPUT, OUTPUT), found, strict=True))
        if any(value is None for value in parts.values()):
            self.unknown[f"{self._provider} has no price of tokens for {model}"] += 1
            return None
        return {kind: Fraction(value) for kind, value in parts.items() if value is not None}


class Rented:
    """A deployment of our own costs by the hour: its tokens share what the time cost."""

    source = "the deployment's hours"

    def __init__(self, usd_per_hour: float, hours: float, tokens: int) -> None:
        spent = Fraction(Decimal(str(usd_per_hour))) * Fraction(hours)
        self._each = spent / tokens if tokens else Fraction(0)
        self.unknown: Counter[str] = Counter()

    def cost(self, row: Row) -> dict[str, Fraction] | None:
        """Every token costs the same."""
        return {INPUT: row["prompt_tokens"] * self._each, OUTPUT: row["completion_tokens"] * self._each}


def prices_of(part: CostPart, days: float, tokens: int) -> Prices:
    """The prices of a span of so many days, in which so many tokens were read and written. Raises MlctlError."""
    if part.usd_per_hour is not None:
        return Rented(part.usd_per_hour, days * 24, tokens)
    return Table(part.provider) if part.provider is not None else Listed(part.prices)


def _per_token(per_million: float) -> Fraction:
    """As the number was written: 0.1 is a tenth."""
    return Fraction(Decimal(str(per_million))) / _MILLION
