"""`cost`: what requests cost, by a price list with dates, a provider's table, or the hours of a deployment of our own."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import BeforeValidator, Field, model_validator

from mlctl.provider import Block
from mlctl.providers.evidently.spec.labels import Name
from mlctl.providers.evidently.spec.prompts import Compared

Dollars = Annotated[float, Field(ge=0, le=1e6)]


class Price(Block):
    """US dollars for a million tokens."""

    input_per_million: Dollars
    output_per_million: Dollars
    cached_per_million: Annotated[
        Dollars | None,
        Field(description="Of input out of the provider's cache; without it, what that costs is unknown"),
    ] = None
    valid_from: Annotated[date | None, Field(description="The first day, in UTC; always, when left out")] = None


def _several(value: object) -> object:
    """One price is short for a list of one."""
    return [value] if isinstance(value, dict) else value


Prices = Annotated[list[Price], BeforeValidator(_several), Field(min_length=1)]


class Cost(Compared):
    """What a request costs, tested against before; the difference of a day is taken apart into what made it."""

    margin: Annotated[float, Field(gt=0, le=10, description="0.2: a request that costs a fifth more is an alarm")] = 0.2
    prices: Annotated[dict[Name, Prices], Field(description="By model, as answers name it")] = Field(
        default_factory=dict
    )
    provider: Annotated[
        str | None, Field(pattern=r"^[a-z0-9_-]+$", description="Whose prices are taken from the package genai-prices")
    ] = None
    usd_per_hour: Annotated[float | None, Field(gt=0, description="What a deployment of our own costs")] = None

    @model_validator(mode="after")
    def _one_source(self) -> Cost:
        given = [name for name in ("prices", "provider", "usd_per_hour") if getattr(self, name)]
        if len(given) != 1:
            raise ValueError("a price comes from one place: give one of `prices`, `provider` and `usd_per_hour`")
        for model, prices in self.prices.items():
            days = [price.valid_from for price in prices]
            if len(set(days)) < len(days):
                raise ValueError(f"`{model}` has two prices from the same day on")
        return self
