"""The events of `--json` about monitors: what each says, and its fields."""

from __future__ import annotations

from mlctl.views.json.event_type import COUNT, MAYBE_COUNT, MAYBE_NUMBER, NUMBER, OBJECT, OBJECTS, TEXT, Event

_BUDGET_CURVE = {
    "type": "array",
    "items": {"type": "object", "required": ["labels", "power", "power_with_confidence"]},
}

_POINTS = {
    "type": "array",
    "items": {"type": "object", "required": ["run", "at", "verdict", "value", "margin", "p_adjusted"]},
}

MONITOR_EVENTS: dict[str, Event] = {
    "monitor_actions": Event(
        "What was made up for of an earlier run of a monitor, such as a webhook that was down then (`monitor run`). `id` names the alarm "
        "for good; `decision` is its name in the ledger.",
        {"monitor": TEXT, "run": TEXT, "actions": OBJECT},
    ),
    "monitor_trend": Event(
        "One figure of a monitor over the runs that are kept, oldest first (`monitor report`). A `value` is held against its `margin`.",
        {"monitor": TEXT, "runs": COUNT, "part": TEXT, "name": TEXT, "measure": TEXT, "points": _POINTS},
    ),
    "monitor_backtest": Event(
        "What a monitor would have said at a moment in the past (`monitor backtest`).",
        {
            "monitor": TEXT,
            "until": TEXT,
            "verdict": TEXT,
            "summary": TEXT,
            "alarms": OBJECTS,
            "digest": OBJECTS,
            "parts": OBJECT,
        },
    ),
    "label_budget": Event(
        "How many labels a window of a monitor needs to show a rise of the error rate (`monitor label-budget`). `explained` is the share of "
        "the errors' variance that the model's confidence explains; it and what follows from it are null without held-out scores.",
        {
            "monitor": TEXT,
            **dict.fromkeys(("error_rate", "drop", "power", "alpha", "window_seconds"), NUMBER),
            "labels": COUNT,
            "explained": MAYBE_NUMBER,
            **dict.fromkeys(("labels_with_confidence", "ripe"), MAYBE_COUNT),
            "curve": _BUDGET_CURVE,
            "drawn": {"type": ["object", "null"], "required": ["file", "rows"]},
        },
    ),
}
