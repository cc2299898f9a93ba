"""A dashboard for Grafana, as JSON: a row for each deployment, monitor and experiment. Equal projects give equal bytes.

The data source is a variable, so that the file can be imported anywhere. It is of the schema that Grafana 9 to 12 read.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from typing import Any

from mlctl.views.observing.watched import Deployed, Monitored, Watched

SCHEMA_VERSION = 39
_SOURCE = {"type": "prometheus", "uid": "${datasource}"}
_WIDTH, _HEIGHT, _ACROSS = 8, 8, 24

Json = dict[str, Any]
Query = tuple[str, str]  # an expression, and what its lines are called


def dashboard(watched: Watched) -> Json:
    """The whole of it."""
    panels: list[Json] = []
    top = 0
    for title, row in _rows(watched):
        panels.append(
            {
                "id": len(panels) + 1,
                "type": "row",
                "title": title,
                "collapsed": False,
                "panels": [],
                "gridPos": _place(top, 0, _ACROSS, 1),
            }
        )
        top += 1
        for number, panel in enumerate(row):
            left = number * _WIDTH % _ACROSS
            place = _place(top + number * _WIDTH // _ACROSS * _HEIGHT, left, _WIDTH, _HEIGHT)
            panels.append({"id": len(panels) + 1, **panel, "gridPos": place})
        top += -(-len(row) * _WIDTH // _ACROSS) * _HEIGHT
    return {
        "uid": "mlctl-" + hashlib.blake2b(watched.title.encode(), digest_size=8).hexdigest(),
        "title": watched.title,
        "tags": ["mlctl"],
        "schemaVersion": SCHEMA_VERSION,
        "version": 1,
        "editable": True,
        "refresh": "30s",
        "time": {"from": "now-6h", "to": "now"},
        "timezone": "browser",
        "templating": {
            "list": [
                {
                    "name": "datasource",
                    "label": "Data source",
                    "type": "datasource",
                    "query": "prometheus",
                    "current": {},
                    "hide": 0,
                    "refresh": 1,
                }
            ]
        },
        "annotations": {"list": []},
        "links": [],
        "panels": panels,
    }


def _rows(watched: Watched) -> Iterator[tuple[str, list[Json]]]:
    for item in watched.deployments:
        yield f"Deployment {item.name}", list(_deployment(item))
    for monitor in watched.monitors:
        yield f"Monitor {monitor.name} of {monitor.deployment}", list(_monitor(monitor))
    if watched.experiments:
        panels = [
            _graph(f"Users in {name}", [(f'mlctl_experiment_users{{experiment="{name}"}}', "{{arm}}")], "short")
            for name in watched.experiments
        ]
        yield "Experiments", panels


def _deployment(item: Deployed) -> Iterator[Json]:
    who = f'deployment="{item.name}"'
    requests = f"rate(mlctl_requests_total{{{who}}}[$__rate_interval])"
    yield _graph(
        "Requests a second",
        [(f"sum by (version, variant, role) ({requests})", "v{{version}} {{variant}} {{role}}")],
        "reqps",
    )
    failed = f'rate(mlctl_requests_total{{{who},code=~"5..|0"}}[$__rate_interval])'
    yield _graph(
        "Errors",
        [
            (
                f"sum by (version, variant) ({failed}) / sum by (version, variant) ({requests})",
                "v{{version}} {{variant}}",
            )
        ],
        "percentunit",
    )
    yield _graph(
        "Latency",
        [
            (_quantile(q, "mlctl_request_duration_seconds", who), f"p{q * 100:g} v{{{{version}}}} {{{{variant}}}}")
            for q in (0.5, 0.95, 0.99)
        ],
        "s",
    )
    if item.gateway:
        yield _graph("Traffic", [(f"mlctl_traffic_weight{{{who}}}", "{{variant}} v{{version}}")], "percentunit")
    if item.language:
        yield from _tokens(who)
    else:
        yield _graph(
            "Missing features",
            [(f"sum by (feature) (rate(mlctl_feature_missing_total{{{who}}}[$__rate_interval]))", "{{feature}}")],
            "short",
        )
    if item.cached:
        yield _graph(
            "Cache", [(f"sum by (result) (rate(mlctl_cache_total{{{who}}}[$__rate_interval]))", "{{result}}")], "reqps"
        )
    work = [(f"sum(mlctl_{kind}_requests{{{who}}})", kind) for kind in ("running", "waiting")]
    yield _graph("Requests at work", work, "short")
    lost = [(f"sum(increase(mlctl_log_dropped_total{{{who}}}[$__rate_interval]))", "rows of the log")]
    if item.traced:
        lost.append((f"sum(increase(mlctl_spans_dropped_total{{{who}}}[$__rate_interval]))", "spans"))
    yield _graph("Dropped", lost, "short")


def _tokens(who: str) -> Iterator[Json]:
    """What a language model is judged by beside its requests."""
    yield _graph(
        "Time to the first token",
        [(_quantile(0.95, "mlctl_time_to_first_token_seconds", who), "p95 {{variant}}")],
        "s",
    )
    yield _graph(
        "Time for each further token",
        [(_quantile(0.95, "mlctl_time_per_output_token_seconds", who), "p95 {{variant}}")],
        "s",
    )
    tokens = [
        (
            f"sum by (variant) (rate(mlctl_{kind}_tokens_total{{{who}}}[$__rate_interval]))",
            f"{kind} {{{{variant}}}}",
        )
        for kind in ("prompt", "generation")
    ]
    yield _graph("Tokens a second", tokens, "short")


def _monitor(item: Monitored) -> Iterator[Json]:
    who = f'monitor="{item.name}"'
    yield _graph("Alarms", [(f"mlctl_drift_alarm{{{who}}}", "{{part}}")], "short")
    yield _graph("Since the last run", [(f"time() - mlctl_monitor_last_run_timestamp_seconds{{{who}}}", "age")], "s")
    if "data" in item.parts:
        area = f'{who},method="domain_classifier"'  # 0.5 is no drift
        share = (
            f'mlctl_drift_score{{{who},method!="domain_classifier"}} / mlctl_drift_margin{{{who}}}'
            f" or (mlctl_drift_score{{{area}}} - 0.5) / (mlctl_drift_margin{{{area}}} - 0.5)"
        )
        yield _graph(
            "Drift, as a share of its margin", [(f"topk(10, {share})", "{{feature}} {{method}}")], "percentunit"
        )
    if "labels" in item.parts:
        yield _graph("How long labels take", [(f"mlctl_label_lag_seconds{{{who}}}", "p{{quantile}}")], "s")
        yield _graph(
            "Ripe predictions with a label", [(f"mlctl_label_coverage_ratio{{{who}}}", "coverage")], "percentunit"
        )
    if "estimated" in item.parts:
        yield _graph(
            "Estimated without labels", [(f"mlctl_estimated_performance{{{who}}}", "{{metric}} {{bound}}")], "short"
        )


def _graph(title: str, queries: Sequence[Query], unit: str) -> Json:
    return {
        "type": "timeseries",
        "title": title,
        "datasource": _SOURCE,
        "targets": [
            {"refId": chr(ord("A") + number), "datasource": _SOURCE, "expr": expression, "legendFormat": legend}
            for number, (expression, legend) in enumerate(queries)
        ],
        "fieldConfig": {
            "defaults": {"unit": unit, "min": 0, "custom": {"lineWidth": 1, "fillOpacity": 10, "showPoints": "never"}},
            "overrides": [],
        },
        "options": {
            "legend": {"displayMode": "list", "placement": "bottom"},
            "tooltip": {"mode": "multi", "sort": "desc"},
        },
    }


def _quantile(share: float, metric: str, who: str) -> str:
    return f"histogram_quantile({share:g}, sum by (le, version, variant) (rate({metric}_bucket{{{who}}}[$__rate_interval])))"


def _place(top: int, left: int, width: int, height: int) -> Json:
    return {"x": left, "y": top, "w": width, "h": height}
