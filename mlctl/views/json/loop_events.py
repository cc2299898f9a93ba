"""The events of `--json` about the closed loop: what was retrained and why, and what a demonstration found."""

from __future__ import annotations

from mlctl.views.json.event_type import NUMBER, OBJECT, TEXT, TEXTS, Event

LOOP_EVENTS: dict[str, Event] = {
    "retrain": Event(
        "What came of a retraining, or of the evaluation of what it made, as a decision (`retrain`). `verdict` is `trained`, `skipped`, "
        "`failed` or `stopped`, of a gate `passed` or `failed`; `cause` is the decision that led to it.",
        {
            **dict.fromkeys(("id", "kind", "address", "verdict", "rule", "at", "cause", "by"), TEXT),
            "inputs": OBJECT,
            "outputs": OBJECT,
        },
        open=True,
    ),
    "retrain_idle": Event("No alarm waits for one of these trainings (`retrain --on-alarm`).", {"trainings": TEXTS}),
    "demo": Event(
        "One thing that a demonstration has measured (`demo drift`). `at` is in seconds since it began; `holds` says of what has to hold "
        "whether it does.",
        {"step": TEXT, "text": TEXT, "at": NUMBER},
        open=True,
    ),
}
