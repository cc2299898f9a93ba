"""The events of `--json` about serving: what each says, and its fields."""

from __future__ import annotations

from mlctl.views.json.event_type import TEXT, Event

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
_REQUIRED = {"type": "array", "items": {"type": "object", "required": ["text", "load", "value", "met"]}}

SERVING_EVENTS: dict[str, Event] = {
    "bench": Event(
        "What a deployment did under load (`bench`). Times are in seconds; a `load` is `closed` (clients) or `open` (requests a second).",
        {"address": TEXT, "url": TEXT, "points": _POINTS, "required": _REQUIRED},
    ),
}
