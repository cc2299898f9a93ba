"""The events of `--json` about audits and maturity: what each says, and its fields."""

from __future__ import annotations

from mlctl.views.json.event_type import COUNT, NUMBER, OBJECTS, TEXT, TEXTS, Event

AUDIT_EVENTS: dict[str, Event] = {
    "audit_finding": Event(
        "One place where a project has an anti-pattern (`audit`). `waived` says by whom, until when and why, or nothing.",
        {
            **dict.fromkeys(("id", "name", "says", "fix", "waived"), TEXT),
            "severity": {"enum": ["error", "warning"]},
            "evidence": TEXTS,
            "address": {"type": ["string", "null"]},
            "range": {"type": ["object", "null"]},
        },
    ),
    "audit": Event(
        "What an audit came to: the anti-patterns that are there, and that are not (`audit`).",
        {**dict.fromkeys(("errors", "warnings", "waived"), COUNT), "present": TEXTS, "absent": TEXTS},
    ),
    "maturity": Event(
        "Where a project stands (`maturity`): levels by scale, each with the first failing check, and the 28 tests of the ML Test Score.",
        {
            "levels": {
                "type": "array",
                "items": {"type": "object", "required": ["scale", "level", "of", "name", "failing"]},
            },
            "score": NUMBER,
            "band": TEXT,
            "sections": {"type": "object", "additionalProperties": NUMBER},
            "tests": OBJECTS,
        },
    ),
}
