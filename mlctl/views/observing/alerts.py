"""Rules of alerts for Prometheus, as YAML that its `rule_files` read. Pure: equal projects give equal bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

from mlctl.views.observing.watched import Deployed, Monitored, Watched

_ERRORS = 0.05
_OF_TIMEOUT = 0.8
_COVERAGE = 0.5

Rule = Mapping[str, Any]


def alerts(watched: Watched) -> str:
    """A group for each deployment and monitor."""
    lines = ["# Alert rules of " + watched.title + ", rendered by `mlctl observe alerts`.", "groups:"]
    for name, rules in _groups(watched):
        lines += [f"  - name: {_text(name)}", "    rules:"]
        for rule in rules:
            lines += list(_rule(rule))
    return "\n".join(lines) + "\n"


def _groups(watched: Watched) -> Iterator[tuple[str, list[Rule]]]:
    for item in watched.deployments:
        yield f"mlctl {watched.title}: deployment {item.name}", list(_deployment(item))
    for monitor in watched.monitors:
        yield f"mlctl {watched.title}: monitor {monitor.name}", list(_monitor(monitor))


def _deployment(item: Deployed) -> Iterator[Rule]:
    who = f'deployment="{item.name}"'
    requests = f"sum by (deployment, version, variant) (rate(mlctl_requests_total{{{who}}}[5m]))"
    failed = f'sum by (deployment, version, variant) (rate(mlctl_requests_total{{{who},code=~"5..|0"}}[5m]))'
    yield _made(
        "MlctlNoMetrics",
        f"absent(mlctl_resident_bytes{{{who}}})",
        "10m",
        "critical",
        f"{item.name} has no metrics",
        "its server is down, or nobody reads its /metrics",
        item.name,
    )
    yield _made(
        "MlctlErrors", f"{failed} / {requests} > {_ERRORS}", "10m", "critical", f"{item.name}: {{{{ $value | humanizePercentage }}}} of requests fail",
        "variant {{ $labels.variant }}, version {{ $labels.version }}; `mlctl rollout status` and `mlctl logs` tell more", item.name,
    )  # fmt: skip
    slow = f"histogram_quantile(0.99, sum by (le, deployment, version, variant) (rate(mlctl_request_duration_seconds_bucket{{{who}}}[5m])))"
    yield _made(
        "MlctlSlow", f"{slow} > {_OF_TIMEOUT * item.timeout_seconds:g}", "10m", "warning", f"{item.name}: p99 is near the time-out",
        f"{{{{ $value | humanizeDuration }}}} of {item.timeout_seconds:g} s", item.name,
    )  # fmt: skip
    yield _made(
        "MlctlLogDropped", f"increase(mlctl_log_dropped_total{{{who}}}[15m]) > 0", "0m", "warning", f"{item.name} drops rows of its prediction log",
        "monitors and experiments do not see those requests: the disk is slow or full", item.name,
    )  # fmt: skip
    if item.traced:
        yield _made(
            "MlctlSpansDropped", f"increase(mlctl_spans_dropped_total{{{who}}}[15m]) > 0", "15m", "info", f"{item.name} drops spans",
            "the receiver of traces is away or slow; requests are not held up by it", item.name,
        )  # fmt: skip


def _monitor(item: Monitored) -> Iterator[Rule]:
    who = f'monitor="{item.name}"'
    yield _made(
        "MlctlDrift", f"mlctl_drift_alarm{{{who}}} > 0", "0m", "warning", f"{item.name}: {{{{ $value }}}} alarms by `{{{{ $labels.part }}}}`",
        f"see `mlctl monitor report {item.name}`", item.deployment,
    )  # fmt: skip
    yield _made(
        "MlctlMonitorStale", f"time() - mlctl_monitor_last_run_timestamp_seconds{{{who}}} > {item.stale_seconds:.0f}", "1h", "warning",
        f"{item.name} has not run for {{{{ $value | humanizeDuration }}}}", f"run `mlctl monitor run {item.name}`, and look at its schedule", item.deployment,
    )  # fmt: skip
    yield _made(
        "MlctlMonitorUnknown", f"absent(mlctl_monitor_last_run_timestamp_seconds{{{who}}})", "1h", "warning", f"{item.name} has never run, or nobody reads its metrics",
        f"run `mlctl monitor run {item.name}`, and see that Prometheus reads what `mlctl metrics write` or `serve` tells", item.deployment,
    )  # fmt: skip
    yield _made(
        "MlctlMonitorNoData", f'mlctl_monitor_verdict{{{who},verdict="no_data"}} > 0', "1h", "warning", f"{item.name} had too little to test",
        f"no alarm of it is no sign that all is well; see `mlctl monitor report {item.name}`", item.deployment,
    )  # fmt: skip
    if "labels" in item.parts:
        yield _made(
            "MlctlLabelsMissing", f"mlctl_label_coverage_ratio{{{who}}} < {_COVERAGE}", "1h", "warning", f"{item.name}: labels are missing",
            "{{ $value | humanizePercentage }} of the ripe predictions have one; what they say of the others is a guess", item.deployment,
        )  # fmt: skip


def _made(
    name: str, expression: str, wait: str, severity: str, summary: str, description: str, deployment: str
) -> Rule:
    return {
        "alert": name, "expr": expression, "for": wait, "labels": {"severity": severity, "deployment": deployment},
        "annotations": {"summary": summary, "description": description},
    }  # fmt: skip


def _rule(rule: Rule) -> Iterator[str]:
    yield f"      - alert: {_text(rule['alert'])}"
    yield f"        expr: {_text(rule['expr'])}"
    yield f"        for: {rule['for']}"
    for part in ("labels", "annotations"):
        yield f"        {part}:"
        yield from (f"          {name}: {_text(value)}" for name, value in rule[part].items())


def _text(value: str) -> str:
    """JSON's strings are YAML's."""
    return json.dumps(value, ensure_ascii=False)
