"""The JSON Schema (draft 2020-12) of every line that a `--json` command prints: a `oneOf` of events, told apart by `type`.

This is the contract with other programs. Readers ignore types and fields that they do not know; the `format` of the
`version` event is `MAJOR.MINOR`: a minor adds types and fields, a major changes what is there or takes it away.
"""

from __future__ import annotations

from typing import Any

from mlctl.types.change import Action, FieldClass, Reason
from mlctl.types.diagnostic import Severity
from mlctl.views.json.events import EVENTS
from mlctl.views.json.plan import FORMAT

_DIALECT = "https://json-schema.org/draft/2020-12/schema"

_DEFINITIONS: dict[str, Any] = {
    "action": {"enum": [item.value for item in Action]},
    "reason": {"enum": [item.value for item in Reason]},
    "class": {"enum": [*(item.value for item in FieldClass), None]},
    "severity": {"enum": [item.value for item in Severity]},
    "position": {
        "type": "object",
        "description": "A place in a file; lines and columns count characters from 1.",
        "properties": {"line": {"type": "integer", "minimum": 1}, "column": {"type": "integer", "minimum": 1}},
        "required": ["line", "column"],
    },
    "range": {
        "type": ["object", "null"],
        "description": "A part of one line of a file; the end is exclusive.",
        "properties": {
            "file": {"type": "string"},
            "start": {"$ref": "#/$defs/position"},
            "end": {"$ref": "#/$defs/position"},
        },
        "required": ["file", "start", "end"],
    },
    "field": {
        "type": "object",
        "description": "One cause of a change: as recorded, as wanted, and as the tool reports it now. "
        'What is not known yet is `{"unknown": SOURCE}`, a secret `${secret:NAME#DIGEST}` in the text it is part of.',
        "properties": {"path": {"type": "string"}, "old": {}, "new": {}, "observed": {}},
        "required": ["path", "old", "new", "observed"],
    },
    "foreseen": {
        "type": ["object", "null"],
        "description": "A figure that is not known exactly, null where it is not known at all. `basis` says where it comes from: `formula`, or how many runs put it right.",
        "properties": {name: {"type": "number", "minimum": 0} for name in ("low", "mid", "high")}
        | {"basis": {"type": "string"}},
        "required": ["low", "mid", "high", "basis"],
    },
    "estimate": {
        "type": "object",
        "description": "What a step would take. `memory` is in bytes, at the peak, of the device that holds most (of a CPU, of all processes together), "
        "`capacity` what a device has, `parts` what the likely memory is made of; `seconds` are those of its steps; `usd` is what all of it costs, "
        "`hourly` what its devices cost each hour. What is `lasting` costs that until it is removed. `tier` is the price that is paid, null where "
        "nothing is rented and what is owned has none; `limit` when the budget ends it, and whether whoever runs it does so alone; `rates` the prices "
        "it was made with; `notes` say what is not known, and why.",
        "properties": {
            "device": {"type": "string"},
            "devices": {"type": "integer", "minimum": 1},
            "capacity": {"type": ["number", "null"]},
            "memory": {"$ref": "#/$defs/foreseen"},
            "parts": {"type": "object", "additionalProperties": {"type": "number"}},
            "seconds": {"$ref": "#/$defs/foreseen"},
            "usd": {"$ref": "#/$defs/foreseen"},
            "hourly": {"$ref": "#/$defs/foreseen"},
            "lasting": {"type": "boolean"},
            "tier": {"type": ["string", "null"]},
            "limit": {
                "type": ["object", "null"],
                "properties": {
                    "seconds": {"type": "number"},
                    "field": {"type": "string"},
                    "carried": {"type": "boolean"},
                },
                "required": ["seconds", "field", "carried"],
            },
            "taken": {"type": "number", "minimum": 0},
            "rates": {
                "type": "array",
                "items": {"type": "object", "required": ["gpu", "tier", "usd", "as_of", "source"]},
            },
            "notes": {"type": "array", "items": {"type": "string"}},
            "warnings": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["device", "devices", "capacity", "memory", "parts", "seconds", "usd", "notes", "warnings"],
    },
    "column": {
        "type": "object",
        "description": "A profiled column. `quantiles` and `histogram` are of `quantile_rows` rows, all else is of every row; times are ISO 8601 in UTC, "
        "but epoch seconds in `histogram` and `bins`. What makes no sense for its type is null.",
        "properties": {
            "name": {"type": "string"},
            "type": {"type": "string"},
            "nulls": {"type": "integer", "minimum": 0},
            "approx_distinct": {"type": "integer", "minimum": 0},
            "infinite": {"type": "integer", "minimum": 0},
            "min": {"type": ["number", "string", "null"]},
            "max": {"type": ["number", "string", "null"]},
            "mean": {"type": ["number", "string", "null"]},
            "std": {"type": ["number", "null"]},
            "quantiles": {"type": ["object", "null"]},
            "quantile_rows": {"type": ["integer", "null"]},
            "histogram": {"type": ["object", "null"], "required": ["low", "high", "counts", "below", "above"]},
            "top": {"type": "array", "items": {"type": "object", "required": ["value", "count"]}},
            "bins": {"type": ["object", "null"], "required": ["kind", "counts", "nulls"]},
        },
        "required": [
            "name",
            "type",
            "nulls",
            "approx_distinct",
            "min",
            "max",
            "mean",
            "std",
            "quantiles",
            "quantile_rows",
            "histogram",
            "top",
            "bins",
        ],
    },
    "approval": {
        "type": "object",
        "description": "A person's decision to go on although a gate did not pass.",
        "properties": {"who": {"type": "string"}, "why": {"type": "string"}, "at": {"type": "string"}},
        "required": ["who", "why", "at"],
    },
}


def events_schema(*, closed: bool = False) -> dict[str, Any]:
    """The schema of one line. `closed` also refuses fields it does not name: for our own tests, never for readers."""
    return {
        "$schema": _DIALECT,
        "title": "mlctl events",
        "description": f"One line of what a `--json` command of mlctl prints, format {FORMAT}. "
        "Ignore types and fields that you do not know: a minor version adds some.",
        "version": FORMAT,
        "oneOf": [{"$ref": f"#/$defs/event_{name}"} for name in EVENTS],
        "$defs": _DEFINITIONS | {f"event_{name}": _event(name, closed=closed) for name in EVENTS},
    }


def _event(name: str, *, closed: bool) -> dict[str, Any]:
    event = EVENTS[name]
    made: dict[str, Any] = {
        "type": "object",
        "description": event.text,
        "properties": {"type": {"const": name}, **event.required, **event.optional},
        "required": ["type", *event.required],
    }
    if closed and not event.open:
        made["additionalProperties"] = False
    return made
