"""The events of `--json` about decisions: analyses of experiments, the ledger, and replays."""

from __future__ import annotations

from mlctl.types.decision import KINDS
from mlctl.views.json.event_type import (
    COUNT,
    FLAG,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    Event,
)

_VERDICT = {"enum": ["ship", "stop", "continue", "invalid"]}
_METRICS = {
    "type": "array",
    "items": {
        "type": "object",
        "required": [
            "metric", "arm", "role", "type", "better", "margin", "control", "treatment", "difference", "error", "relative", "low", "high",
            "z", "critical", "level", "says", "since", "units", "pending", "adjusted", "explained",
        ],
    },
}  # fmt: skip
_RATIO = {
    "type": "object",
    "required": ["passed", "p_value", "alpha", "chi_square", "chi_square_p_value", "first_bad_day", "blame"],
}
_DIFFERENCES = {"type": "array", "items": {"type": "object", "required": ["field", "then", "now"]}}

DECISION_EVENTS: dict[str, Event] = {
    "experiment_analysis": Event(
        "What an experiment has come to (`experiment analyze`). `looked` says whether this was a new look, `looks` how many there were; "
        "intervals hold over all of them, and are null before the first. `ratio` is the test of the arms' shares, `decision` the entry "
        "of the ledger.",
        {
            "experiment": TEXT,
            "decision": TEXT,
            "looks": COUNT,
            "notes": TEXTS,
            "verdict": _VERDICT,
            "arm": MAYBE_TEXT,
            "rule": TEXT,
            "reasons": TEXTS,
            "arms": OBJECT,
            "looked": FLAG,
            "next_look": MAYBE_TEXT,
            "units": {"type": "object", "additionalProperties": COUNT},
            "fraction": NUMBER,
            "first": MAYBE_TEXT,
            "until": TEXT,
            "metrics": _METRICS,
            "missing": OBJECTS,
            "ratio": _RATIO,
            **dict.fromkeys(("subgroups", "novelty"), OBJECTS),
        },
    ),
    "experiment_promotion": Event(
        "The edit that the last verdict of an experiment asks for (`experiment promote`); `written` says whether it was made.",
        {
            **dict.fromkeys(("experiment", "decision", "deployment", "arm", "model", "file", "diff"), TEXT),
            "written": FLAG,
        },
    ),
    "decision": Event(
        "One decision of the ledger (`decisions list`, and `decisions show` with all that it was made of).",
        {
            **dict.fromkeys(("id", "address", "verdict", "rule", "at", "by", "cause", "code"), TEXT),
            "kind": {"enum": list(KINDS)},
            "seed": MAYBE_NUMBER,
            "files": TEXTS,
        },
        {"inputs": OBJECT, "outputs": OBJECT, "led_to": TEXTS},
    ),
    "replay": Event(
        "A decision made again (`replay`): the same to the bit, or where it differs.",
        {
            **dict.fromkeys(("id", "kind", "address", "verdict", "code", "code_then"), TEXT),
            "same": FLAG,
            "differences": _DIFFERENCES,
        },
    ),
}
