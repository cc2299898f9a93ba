"""A request as text: what was answered, from what, why, and what came of it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from mlctl.views.human.style import Paint
from mlctl.views.human.text import safe

_LONGEST = 160  # characters of a value
_MOST = 12  # features
_UNKNOWN = "unknown"


def render(found: Mapping[str, Any], *, color: bool) -> str:
    """One line of the log, with what belongs to it."""
    paint = Paint(color)
    title = f"{found['address']}  {found['model']} v{found['version']}  {found['ts']}"
    lines = [
        paint(safe(title), "bold"),
        f"  request      {safe(str(found['request_id']))}",
        f"  trace        {_or_unknown(found['trace_id'])}",
    ]
    lines += [f"  {name:<12} {text}" for name, text in _parts(found)]
    return "\n".join(lines) + "\n"


def _parts(found: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    answer = dict(found["answer"])
    answer.pop("schema_version", None)
    answer.pop("sampled", None)
    yield (
        "routed",
        _pairs(
            {"role": found["role"], "variant": found["variant"], **_taken(answer, ("unit", "bucket", "propensity"))}
        ),
    )
    yield "answer", _pairs(answer) or _UNKNOWN
    for name, value in (found["texts"] or {}).items():
        yield name, _cut(safe(str(value)))
    features = found["features"] or {}
    yield "features", _pairs(features.get("features") or {}) or "not logged"
    if features.get("feature_ref"):
        yield "views", _pairs(features["feature_ref"])
    yield from _explained(found["explanations"])
    yield from _labels(found["labels"])
    for item in found["experiments"]:
        yield (
            "experiment",
            f"{item['address']}: {'arm ' + str(item['arm']) if item['arm'] is not None else 'in no arm'}",
        )
    for event in found["rollout"]:
        more = {name: value for name, value in event.items() if name not in ("at", "what")}
        yield "rollout", _cut(safe(f"{event.get('at')} {event.get('what')} {_pairs(more)}".rstrip()))
    yield "cost", _UNKNOWN if found["cost_usd"] is None else f"${found['cost_usd']:.6g}"
    spans = found["spans"]
    yield "spans", "not sent" if spans is None else safe(f"sent to {spans['receiver']} as trace {spans['trace_id']}")


def _explained(explanations: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str]]:
    if not explanations:
        yield "explanation", "none: it was not among those that are explained"
    for item in explanations:
        if item["values"] is None:
            yield "explanation", f"not kept: {_cut(safe(str(item['refused'])))}"
            continue
        ordered = sorted(item["values"].items(), key=lambda pair: -abs(pair[1]))
        parts = "  ".join(f"{safe(name)} {value:+.4g}" for name, value in ordered[:_MOST])
        more = f"  and {len(ordered) - _MOST} more" if len(ordered) > _MOST else ""
        scale = " (log-odds)" if item["link"] == "logit" else ""
        yield (
            "explanation",
            f"{item['base']:.4g}{scale}  {parts}{more}  = {item['score']:.4g} (by {item['method']}, off by {abs(item['residual']):.1g})",
        )


def _labels(labels: Sequence[Mapping[str, Any]] | None) -> Iterator[tuple[str, str]]:
    if labels is None:
        return
    if not labels:
        yield "label", "unknown: no monitor of this deployment has `labels`"
    for item in labels:
        for found in item["found"]:
            lag = "" if found["lag_seconds"] is None else f" after {found['lag_seconds'] / 3600:.1f} h"
            late = ", too late to count" if found["late"] else ""
            yield "label", f"{found['label']}{lag}{late} (datasets.{item['dataset']} by {', '.join(item['by'])})"
        if not item["found"]:
            yield "label", f"{item['why']} (datasets.{item['dataset']} by {', '.join(item['by'])})"


def _taken(values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: values.pop(name) for name in names if name in values}


def _pairs(values: Mapping[str, Any]) -> str:
    return _cut(
        "  ".join(f"{safe(str(name))} {_value(value)}" for name, value in values.items() if value is not None),
        4 * _LONGEST,
    )


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.6g}"
    return safe(value) if isinstance(value, str) else safe(json.dumps(value, ensure_ascii=False))


def _or_unknown(value: Any) -> str:
    return _UNKNOWN if value is None else safe(str(value))


def _cut(text: str, most: int = _LONGEST) -> str:
    return text if len(text) <= most else f"{text[: most - 1]}…"
