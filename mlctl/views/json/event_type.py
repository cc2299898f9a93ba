"""A type of line of `--json`: what it says and its fields, as JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

TEXT: dict[str, Any] = {"type": "string"}
MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"]}
NUMBER: dict[str, Any] = {"type": "number"}
MAYBE_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
FLAG: dict[str, Any] = {"type": "boolean"}
OBJECT: dict[str, Any] = {"type": "object"}
TEXTS: dict[str, Any] = {"type": "array", "items": TEXT}
OBJECTS: dict[str, Any] = {"type": "array", "items": OBJECT}


def ref(name: str) -> dict[str, Any]:
    """What the schema defines under a name."""
    return {"$ref": f"#/$defs/{name}"}


@dataclass(frozen=True, slots=True)
class Event:
    """One type of line. An `open` one carries fields of a tool or of the project beside those named here."""

    text: str
    required: Mapping[str, Any] = field(default_factory=dict)
    optional: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False


GATE = {"passed": FLAG, "summary": TEXT, "details": TEXTS}
