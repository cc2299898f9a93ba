"""A9: what happened is asked about after it happened, and nothing was kept."""

from __future__ import annotations

from collections.abc import Iterator

from mlctl.audit.case import Case, Subject
from mlctl.audit.finding import Finding, Pattern
from mlctl.types.diagnostic import Severity

PATTERN = Pattern("A9", "observability later", "no incident can be explained, no drift seen, no reward joined")


def check(case: Case) -> Iterator[Finding]:
    """Predictions, their features and traces are kept from the first request on, and alarms reach somebody."""
    for deployment in case.all("deployments"):
        yield from _logged(deployment)
        if deployment.get("observe.traces") is None:
            yield Finding(
                PATTERN,
                Severity.WARNING,
                f"the requests of {deployment.address} leave no traces",
                (f"{deployment.address} observe.traces: none",),
                "add `observe: {traces: {endpoint: http://127.0.0.1:4318}}`",
                deployment.address,
            )
    for monitor in case.all("monitors"):
        if not monitor.get("on_alarm"):
            yield Finding(
                PATTERN,
                Severity.WARNING,
                f"an alarm of {monitor.address} reaches nobody",
                (f"{monitor.address} on_alarm: none",),
                "add `on_alarm: {webhook: {url: ${env.ALERTS_URL}}}`, or `{retrain: training.NAME}`",
                monitor.address,
            )


def _logged(deployment: Subject) -> Iterator[Finding]:
    if not deployment.get("log.predictions"):
        yield Finding(
            PATTERN,
            Severity.ERROR,
            f"{deployment.address} keeps no predictions",
            (f"{deployment.address} log.predictions: false",),
            "set `log: {predictions: true, features: true}`",
            deployment.address,
            ("log", "predictions"),
        )
    elif not deployment.get("log.features"):
        yield Finding(
            PATTERN,
            Severity.WARNING,
            f"{deployment.address} keeps its predictions without what they were made from",
            (f"{deployment.address} log.features: false",),
            "set `log: {features: true}`: drift and skew are seen in features",
            deployment.address,
            ("log", "features"),
        )
