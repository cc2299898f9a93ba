"""The events of `--json` about serving: what each says, and its fields."""

from __future__ import annotations

from mlctl.views.json.event_type import COUNT, NUMBER, TEXT, Event

_POINTS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": [
            "load",
            "requests",
            "errors",
            "statuses",
            "seconds",
            "rate",
            "latency",
            "ttft",
            "tpot",
            "tokens_per_second",
        ],
    },
}
_SENT = {"type": "object", "required": ["source", "bodies", "digest", "max_tokens"]}
_REQUIRED = {"type": "array", "items": {"type": "object", "required": ["text", "load", "value", "met"]}}

_VARIANTS = {
    "type": "array",
    "items": {"type": "object", "required": ["name", "model", "version", "release", "condition", "percent", "deaths"]},
}
_MAYBE_OBJECT = {"type": ["object", "null"]}

SERVING_EVENTS: dict[str, Event] = {
    "bench": Event(
        "What a deployment did under load (`bench`). Times are in seconds; a `load` is `closed` (clients) or `open` (requests a second). "
        "`sent` is what was asked; a quantile of fewer values (`number`) than 20 (P95) or 100 (P99) is the largest of them, and no quantile.",
        {"address": TEXT, "url": TEXT, "points": _POINTS, "required": _REQUIRED},
        {"sent": _SENT},
    ),
    "rollout": Event(
        "How the rollout of a deployment stands (`rollout status`, and what orders came to). Times are in seconds, `since` and `at` "
        "are Unix times. Of variants, what was measured counts since the step began.",
        {
            "address": TEXT,
            "phase": {"enum": ["empty", "starting", "stepping", "done", "held", "ended"]},
            **dict.fromkeys(("reason", "says"), TEXT),
            "since": NUMBER,
            "controller": {"type": ["object", "null"], "required": ["running", "pid"]},  # none on a cluster
            **dict.fromkeys(("gateway", "step", "gate", "paused", "shadow", "bandit"), _MAYBE_OBJECT),
            "variants": _VARIANTS,
            "held": {"type": "array", "items": {"type": "object", "required": ["model", "version", "why", "by", "at"]}},
            **dict.fromkeys(("promotions", "failures"), COUNT),
        },
    ),
    "rollout_history": Event(
        "One thing that happened in a rollout (`rollout history`).",
        {"address": TEXT, "at": TEXT, "what": TEXT},
        open=True,
    ),
    "unit": Event(
        "A unit of systemd for the controller of a deployment (`deploy systemd`).",
        dict.fromkeys(("address", "name", "text"), TEXT),
    ),
    "manifest": Event(
        "One object of a deployment on a Kubernetes cluster (`deploy render`).",
        {"manifest": {"type": "object", "required": ["apiVersion", "kind", "metadata"]}},
    ),
}
