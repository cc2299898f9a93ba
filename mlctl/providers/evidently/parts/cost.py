"""The part `cost`: what requests cost, and why that changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.parts.llm import compared, spans_text, tests_text
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.diagnostic import Diagnostic, did_you_mean


class CostPart:
    """One test, of what a request costs; the rest is arithmetic that adds up."""

    name: ClassVar[str] = "cost"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """A provider that the table of prices has."""
        block = spec.cost
        if block is None or block.provider is None:
            return
        try:
            from genai_prices.data_snapshot import get_snapshot
        except ImportError:
            yield Diagnostic(
                "monitor.no-prices",
                "there is no table of prices",
                "`cost.provider` takes prices from the package genai-prices, which is not installed",
                "`pip install genai-prices`, or list `prices`",
                path=("cost", "provider"),
            )
            return
        known = [item.id for item in get_snapshot().providers]
        if block.provider not in known:
            yield Diagnostic(
                "monitor.unknown-provider",
                f"there are no prices of `{block.provider}`",
                f"known are {', '.join(sorted(known))}",
                did_you_mean(block.provider, known) or "name one of them, or list `prices`",
                path=("cost", "provider"),
            )

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """The prices, with their dates."""
        block = spec.cost
        if block is None:
            raise ValueError("the part has no block: `check` refuses that")
        prices = {
            model: [price.model_dump(mode="json") for price in prices] for model, prices in sorted(block.prices.items())
        }
        return Frozen(
            {
                **compared(block),
                "margin": block.margin,
                "prices": prices,
                "provider": block.provider,
                "usd_per_hour": block.usd_per_hour,
            }
        )

    def describe(self, job: Mapping[str, Any]) -> str:
        """Where prices come from, and what is held against what."""
        hourly, listed = job["usd_per_hour"], job["provider"] or ", ".join(job["prices"])
        source = f"prices of {listed}" if hourly is None else f"{hourly:g} USD an hour"
        return f"cost by {source}, {spans_text(job)}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """What a day costs, what made the difference, and what has no price."""
        for name, when in (("now", "now"), ("before", "before")):
            found = figures[when]
            yield f"{name:<8} {found['usd_per_day']:.6f} USD a day, {found['priced']} requests in {found['days']:.2f} days"
        for name, value in (figures["because_of"] or {}).items():
            yield f"         {name:<7} {value:+.6f}"
        if figures["change_per_day"] is not None:
            yield f"         together {figures['change_per_day']:+.6f} USD a day"
        yield from tests_text(figures)
        yield from (f"unknown  {why}: {count} requests" for why, count in figures["unknown_prices"].items())
