"""What hosted language models cost by the token, as the package `genai-prices` knows it. It reads nothing from the network."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal


class ApiPrices:
    """The prices of one provider. Raises ImportError where the package is not installed."""

    def __init__(self, provider: str) -> None:
        import genai_prices

        self._calculate, self._usage = genai_prices.calc_price, genai_prices.Usage
        self.provider = provider
        self.source = f"genai-prices {genai_prices.__version__}"

    def cost(
        self, model: str, prompt: int, answer: int, cached: int = 0, at: datetime | None = None
    ) -> tuple[Decimal | None, Decimal | None]:
        """Dollars of the tokens of a prompt, some of which the provider had in its cache, and of an answer; by the price of a
        moment. None for what has no price. Raises LookupError for a model or a provider that is not known."""
        usage = self._usage(input_tokens=prompt, output_tokens=answer, cache_read_tokens=cached)
        found = self._calculate(usage, model, provider_id=self.provider, genai_request_timestamp=at)
        return found.input_price, found.output_price
