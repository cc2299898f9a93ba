"""What is wrong with an `on_alarm` block that its schema cannot state."""

from __future__ import annotations

from collections.abc import Iterable
from typing import get_args

from mlctl.provider import Context
from mlctl.providers.evidently.spec.actions import OnAlarm, Webhook
from mlctl.providers.evidently.spec.labels import Metric
from mlctl.providers.evidently.spec.monitor import MonitorSpec
from mlctl.types.diagnostic import Diagnostic, MlctlError, did_you_mean
from mlctl.types.secret import HIDDEN, sealed_names

METRICS: tuple[str, ...] = get_args(Metric)
_SECRET_HEADERS = ("authorization", "proxy-authorization", "cookie", "x-api-key", "x-auth-token")


def check(spec: MonitorSpec, ctx: Context) -> Iterable[Diagnostic]:
    """Offline rules."""
    asked = spec.on_alarm
    if asked is None:
        return
    if asked.webhook is not None:
        yield from _webhook(asked.webhook, ctx)
    yield from _file(asked, ctx)
    yield from _min_impact(spec, asked)


def _webhook(webhook: Webhook, ctx: Context) -> Iterable[Diagnostic]:
    """Whoever has the address of a webhook can speak through it, so it is a secret; so is what a header lets in by."""
    if _shown(webhook.url, ctx):
        yield Diagnostic(
            "monitor.webhook-in-the-clear",
            "the address of the webhook is not a secret",
            "whoever knows it can raise alarms, and it would stand in the state and in plans as it is",
            "take it from the environment, as in `url: ${env.ALERT_WEBHOOK}`, or from a sensitive variable",
            path=("on_alarm", "webhook", "url"),
        )
    for name, value in webhook.headers.items():
        if not name.isascii() or any(letter in f"{name}{value}" for letter in "\r\n"):
            yield Diagnostic(
                "monitor.bad-header",
                f"`{name}` is no header",
                "a header is one line of ASCII",
                "write it on one line",
                path=("on_alarm", "webhook", "headers", name),
            )
        elif name.lower() in _SECRET_HEADERS and _shown(value, ctx):
            yield Diagnostic(
                "monitor.header-in-the-clear",
                f"the header `{name}` is not a secret",
                "it would stand in the state and in plans as it is",
                "take it from the environment, as in `${env.ALERT_TOKEN}`, or from a sensitive variable",
                path=("on_alarm", "webhook", "headers", name),
            )


def _shown(value: str, ctx: Context) -> bool:
    return value != HIDDEN and not sealed_names(ctx.secrets.masked(value))


def _file(asked: OnAlarm, ctx: Context) -> Iterable[Diagnostic]:
    if asked.file is None:
        return
    try:
        path = ctx.path(asked.file)
    except MlctlError as error:
        yield error.diagnostics[0]
        return
    if path.is_dir():
        yield Diagnostic(
            "monitor.file-is-folder",
            f"`{asked.file}` is a folder",
            "alarms are lines of a file",
            f"write for example `{asked.file.rstrip('/')}/alarms.jsonl`",
            path=("on_alarm", "file"),
        )


def _min_impact(spec: MonitorSpec, asked: OnAlarm) -> Iterable[Diagnostic]:
    """A limit for a metric that nothing estimates would never let an alarm through to the digest."""
    known = set(_estimated(spec))
    for metric in asked.min_impact:
        if metric not in known:
            yield Diagnostic(
                "monitor.impact-unknown",
                f"no part of the monitor estimates what an alarm costs in `{metric}`",
                "without an estimate every alarm counts, so the limit has no effect",
                did_you_mean(metric, known) or "remove it, or add the part `estimated`, `labels` or `cost`",
                path=("on_alarm", "min_impact", metric),
            )


def _estimated(spec: MonitorSpec) -> Iterable[str]:
    """The metrics whose change the parts tell with their alarms."""
    if spec.estimated is not None:  # what it finds is told with alarms of data drift too
        yield spec.estimated.metric
    if spec.labels is not None:
        yield from spec.labels.metrics or METRICS
        yield spec.labels.loss or "error_rate"
    yield from (proxy.metric for proxy in spec.proxies or ())
    if spec.cost is not None:
        yield "usd_per_day"
