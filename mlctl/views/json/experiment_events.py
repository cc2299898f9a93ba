"""The events of `--json` about experiments: what each says, and its fields."""

from __future__ import annotations

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

_MAYBE_COUNT = {"type": ["integer", "null"]}
_MAYBE_OBJECT = {"type": ["object", "null"]}
_SHARE = {"type": "object", "required": ["share", "low", "high"]}
_PLAYED = {
    "type": "object",
    "required": ["runs", "claims", "shipped", "invalid", "stopped_by_guardrail", "mean_units", "verdicts"],
    "properties": dict.fromkeys(("claims", "shipped", "invalid", "stopped_by_guardrail"), _SHARE),
}

EXPERIMENT_EVENTS: dict[str, Event] = {
    "experiment_size": Event(
        "How many units an experiment needs, and how long that takes (`experiment size`). What depends on the traffic is null "
        "while that is not known; `looks` is null where one may look at any time.",
        {
            "experiment": TEXT,
            "n_total": COUNT,
            "n_per_arm": OBJECT,
            "weeks": _MAYBE_COUNT,
            "looks": _MAYBE_COUNT,
            "daily_units": MAYBE_NUMBER,
            "curve": OBJECTS,
        },
        open=True,
    ),
    "experiment_certificate": Event(
        "What synthetic streams through a design came to (`experiment certify`): `aa` without the effect, `ab` with it. Shares "
        "have 95 % intervals.",
        {
            "experiment": TEXT,
            **dict.fromkeys(("seed", "looks", "units"), COUNT),
            **dict.fromkeys(("alpha", "power"), NUMBER),
            **dict.fromkeys(("aa", "ab"), _PLAYED),
            "assumed": TEXTS,
            "holds": {"type": "object", "properties": dict.fromkeys(("false_positives", "power"), FLAG)},
        },
    ),
    "assignment": Event(
        "The arm of one unit, null when it is not in the experiment, and then why (`experiment assign`).",
        {"unit": TEXT, "arm": MAYBE_TEXT},
        {"reason": TEXT},
    ),
    "hash_vectors": Event(
        "What an implementation of the hash has to come to (`experiment verify-hash`).",
        {
            "address": TEXT,
            "salt": TEXT,
            "hash_version": COUNT,
            "ranges": OBJECT,
            **dict.fromkeys(("namespace", "holdout"), _MAYBE_OBJECT),
            "vectors": {"type": "array", "items": {"type": "object", "required": ["unit", "bucket", "arm"]}},
        },
    ),
    "hash_check": Event(
        "How many units a front end put into another arm, and the first of them (`experiment verify-hash --check`).",
        {
            "address": TEXT,
            **dict.fromkeys(("units", "different"), COUNT),
            "differences": {"type": "array", "items": {"type": "object", "required": ["unit", "theirs", "ours"]}},
        },
    ),
}
