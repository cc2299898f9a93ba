"""The part `proxies`: figures such as clicks, now against before."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, ClassVar

from mlctl.provider import Context, Desired
from mlctl.providers.evidently import outcomes
from mlctl.providers.evidently.part import Frozen
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.providers.evidently.spec.proxies import DAY_SECONDS, Proxy
from mlctl.types.diagnostic import Diagnostic
from mlctl.types.value import Json


class ProxiesPart:
    """Each figure's window against the time before it, tested together."""

    name: ClassVar[str] = "proxies"

    def check(self, spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
        """Names tell them apart."""
        for index, metric in outcomes.repeated([proxy.metric for proxy in spec.proxies or ()]):
            yield Diagnostic(
                "monitor.metric-twice",
                f"two proxies are called `{metric}`",
                "alarms name them",
                "give one another name",
                path=("proxies", index, "metric"),
            )

    def freeze(self, spec: MonitorSpec, desired: Desired, ctx: Context) -> Frozen:
        """Where each comes from."""
        return Frozen({"proxies": [_frozen(proxy, desired) for proxy in spec.proxies or ()]})

    def describe(self, job: Mapping[str, Any]) -> str:
        """Their names."""
        return f"proxies {', '.join(proxy['metric'] for proxy in job['proxies'])}"

    def text(self, figures: Mapping[str, Any]) -> Iterable[str]:
        """Now and before."""
        for name, found in figures["proxies"].items():
            if found["value"] is None or found["before"] is None:
                yield f"no data  {name}  {found['units']} units now, {found['units_before']} before"
            else:
                yield (
                    f"{found['verdict'].replace('_', ' '):<8} {name} {found['value']:.4g}, {found['before']:.4g} before "
                    f"(worse by {found['effect']:.3g} [{found['low']:.3g}, {found['high']:.3g}], margin {found['margin']:g})"
                )


def _frozen(proxy: Proxy, desired: Desired) -> dict[str, Json]:
    part = f"proxies.{proxy.metric}"
    source, timestamp = outcomes.rows_of(proxy.dataset, proxy.timestamp, part, desired)
    if proxy.column is not None:
        outcomes.number(source, proxy.dataset, proxy.column, part, "column")
    if proxy.unit is not None:
        outcomes.column(source, proxy.dataset, proxy.unit, part, "unit")
    within = proxy.within or DAY_SECONDS
    joined = outcomes.joining(proxy, within, part, desired) if proxy.joined else None
    return {
        "metric": proxy.metric,
        "joining": None if joined is None else joined.model_dump(mode="json"),
        "dataset": proxy.dataset,
        "source": source.model_dump(mode="json"),
        "timestamp": timestamp,
        "column": proxy.column,
        "unit": proxy.unit,
        "aggregate": proxy.aggregate,
        "higher_is_better": proxy.direction == "higher",
        "margin": proxy.margin,
        "alpha": proxy.alpha,
        "window_seconds": proxy.window,
        "baseline_window_seconds": proxy.baseline,
        "min_units": proxy.min_units,
    }
