"""mlctl cost actual: what runs and deployments did cost, beside what was foretold."""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from mlctl.cli.options import AsJson, emit_json, seconds_of
from mlctl.cli.project import in_project
from mlctl.types.diagnostic import ExitCode, MlctlError
from mlctl.workspace import Workspace

if TYPE_CHECKING:
    from mlctl.estimate.actuals import ApiCost, Service
    from mlctl.estimate.api_prices import ApiPrices

HELP = (
    "What runs and deployments did cost: measured times at the price of then, and of deployments the dollars for 1,000 requests and "
    "for a million tokens, counted in their prediction logs. What is not known is said to be unknown.\n\n"
    "Examples:\n\n  mlctl cost actual\n\n  mlctl cost actual --since 7d --json\n\n"
    "  mlctl cost actual --api anthropic/claude-sonnet-4-5   # what the same tokens cost there"
)
_QUIET_SECONDS = 1.0  # of reading, before a word on it


@in_project
def actual(
    workspace: Workspace,
    since: Annotated[
        str, typer.Option("--since", metavar="DURATION", help="How far to look back, such as 30d.")
    ] = "30d",
    api: Annotated[
        str | None,
        typer.Option("--api", metavar="PROVIDER/MODEL", help="Also what the same tokens cost from a hosted model."),
    ] = None,
    as_json: AsJson = False,
) -> int:
    """Gather and print."""
    from mlctl.cli.costing import spent
    from mlctl.views.human import cost_actual
    from mlctl.views.human.style import wants_color
    from mlctl.views.json.cost_actual import lines

    now = datetime.now(UTC)
    begin = _begin(since, now)
    prices = None if api is None else _api(api)
    ledger, context = workspace.reader()
    found = spent.runs(ledger, begin, workspace.kind)
    told = _Reading()
    services = spent.services(workspace, ledger, context, begin, now, told)
    if prices is not None:
        services = [replace(item, api=_priced(item, prices[0], prices[1])) for item in services]
    told.end()
    if as_json:
        for line in lines(found, services, begin):
            emit_json(line)
    else:
        sys.stdout.write(cost_actual.render(found, services, begin, color=wants_color(sys.stdout)))
    return ExitCode.OK


def _begin(since: str, now: datetime) -> datetime:
    """Since when. Raises MlctlError for what is no duration, or longer than there are dates."""
    try:
        return now - timedelta(seconds=seconds_of(since, "--since"))
    except OverflowError:
        raise MlctlError.of(
            "cli.usage", f"`--since {since}` is before the first date", "", "for example `--since 365d`"
        ) from None


class _Reading:
    """How far a log is read, for a person who waits for more than a moment."""

    def __init__(self) -> None:
        self._begun, self._shown = time.monotonic(), False

    def __call__(self, address: str, share: float) -> None:
        if sys.stderr.isatty() and time.monotonic() - self._begun > _QUIET_SECONDS:
            self._shown = True
            print(f"\rreading the predictions of {address}: {share:.0%} ", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        if self._shown:
            print("\r\x1b[2K", end="", file=sys.stderr, flush=True)


def _api(text: str) -> tuple[ApiPrices, str]:
    """`PROVIDER/MODEL`. Raises MlctlError for one that there is no price of."""
    provider, _, model = text.partition("/")
    if not provider or not model:
        raise MlctlError.of(
            "cli.usage", f"`--api {text}` is not PROVIDER/MODEL", "", "for example `--api openai/gpt-4o`"
        )
    from mlctl.estimate.api_prices import ApiPrices

    try:
        prices = ApiPrices(provider)
        prices.cost(model, 1, 1)
    except ImportError:
        raise MlctlError.of(
            "extra.missing",
            "there is no table of prices of hosted models",
            "`--api` takes them from the package genai-prices, which is not installed",
            "`pip install 'mlctl[prices]'`",
        ) from None
    except LookupError as error:
        why = " ".join(str(error).split())
        raise MlctlError.of(
            "cost.unknown-api", f"no price is known for `{text}`", f"{prices.source}: {why}",
            "write the provider's and the model's own names, such as `anthropic/claude-sonnet-4-5`",
        ) from None  # fmt: skip
    return prices, model


def _priced(service: Service, prices: ApiPrices, model: str) -> ApiCost:
    from mlctl.estimate.actuals import by_api

    return by_api(service.counts, prices, model)
