"""The events of `--json` about observability: what each says, and its fields."""

from __future__ import annotations

from mlctl.views.json.event_type import COUNT, FLAG, MAYBE_NUMBER, MAYBE_TEXT, OBJECT, OBJECTS, TEXT, Event

_MAYBE_OBJECT = {"type": ["object", "null"]}
_MAYBE_OBJECTS = {"type": ["array", "null"], "items": OBJECT}

OBSERVABILITY_EVENTS: dict[str, Event] = {
    "request": Event(
        "One line of a prediction log, and what belongs to it (`explain-request`). What is null is not known; `labels` is null when it "
        "was not looked for.",
        {
            **dict.fromkeys(("address", "ts", "request_id"), TEXT),
            **dict.fromkeys(("trace_id", "model", "version", "role", "variant"), MAYBE_TEXT),
            "answer": OBJECT,
            **dict.fromkeys(("features", "texts", "spans"), _MAYBE_OBJECT),
            **dict.fromkeys(("explanations", "experiments", "rollout"), OBJECTS),
            "labels": _MAYBE_OBJECTS,
            "cost_usd": MAYBE_NUMBER,
            "searched": {"type": "object", "required": ["files", "bytes"]},
        },
    ),
    "metric_problem": Event(
        "One thing that is wrong with metrics (`metrics lint`): `line` is its place in the page.",
        {
            "source": TEXT,
            "rule": TEXT,
            "metric": TEXT,
            "text": TEXT,
            "line": COUNT,
            "by": {"enum": ["mlctl", "promtool"]},
        },
    ),
    "metrics_linted": Event(
        "The end of `metrics lint`: how much was looked at. `promtool` says whether it was there to be asked.",
        {"source": TEXT, "metrics": COUNT, "series": COUNT, "problems": COUNT, "promtool": FLAG},
    ),
}
