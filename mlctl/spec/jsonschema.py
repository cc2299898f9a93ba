"""The JSON Schema (draft 2020-12) of a whole project file, for editors and other programs."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlctl.spec.collection import NAME_LIMIT
from mlctl.spec.project import Kinds, Owner
from mlctl.types.address import NAME

_NAMES = {"pattern": f"^{NAME.pattern}$", "maxLength": NAME_LIMIT}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"


def project_schema(kinds: Kinds) -> dict[str, Any]:
    """The schema of `mlctl.yaml` with every installed kind. Raises MlctlError when one cannot be imported."""
    sections = {section: kinds.kind(section) for section in sorted(kinds.sections())}
    settings = {name: kinds.settings_model(name) for name in sorted(kinds.settings())}
    models: list[type[BaseModel]] = list(
        dict.fromkeys([Owner, *(kind.spec for kind in sections.values()), *settings.values()])
    )
    references, definitions = models_json_schema(
        [(model, "validation") for model in models], ref_template="#/$defs/{model}"
    )
    properties: dict[str, Any] = {
        "project": {
            "type": "string",
            **_NAMES,
            "description": "The name of the project in the tools it uses.",
        },
        "owner": references[Owner, "validation"],
        "include": {
            "type": "array",
            "items": {"type": "string"},
            "description": "Patterns of more project files, relative to this one.",
        },
    }
    for name, model in settings.items():
        properties[name] = references[model, "validation"]
    for section, kind in sections.items():
        properties[section] = {
            "type": ["object", "null"],
            "description": _first_line(kind.spec.__doc__),
            "propertyNames": _NAMES,
            "additionalProperties": references[kind.spec, "validation"],
        }
    return {
        "$schema": _DIALECT,
        "title": "mlctl project",
        "description": "One project of mlctl: what exists, and how it is made.",
        "type": "object",
        "properties": properties,
        "required": ["project"],
        "additionalProperties": False,
        "$defs": definitions.get("$defs", {}),
    }


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]
