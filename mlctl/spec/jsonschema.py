"""The JSON Schema (draft 2020-12) of a whole project file, for editors and other programs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from mlctl.spec.blocks import NAME_LIMIT
from mlctl.spec.environments import StateBackend
from mlctl.spec.instances import FIELDS, LIMIT
from mlctl.spec.model import Kinds, Owner
from mlctl.spec.modules import Call
from mlctl.spec.policies import Policy
from mlctl.spec.renames import Imported, Moved
from mlctl.spec.variables import NAME as VARIABLE_NAME
from mlctl.spec.variables import Variable
from mlctl.types.address import NAME

_NAMES = {"pattern": f"^{NAME.pattern}$", "maxLength": NAME_LIMIT}
_VARIABLE_NAMES = {"pattern": f"^{VARIABLE_NAME.pattern}$"}
_DIALECT = "https://json-schema.org/draft/2020-12/schema"
_EXPRESSION = "expression"  # the definition of a text that stands for a value

Schema = dict[str, Any]

_SCALARS: Schema = {"type": ["string", "number", "boolean"]}
_INSTANCES: Mapping[str, Schema] = {
    "for_each": {
        "description": "One resource for each entry: a list of keys, a block of values by key, or the address of a block with the same.",
        "anyOf": [
            {"type": "array", "items": _SCALARS, "minItems": 1, "maxItems": LIMIT},
            {"type": "object", "minProperties": 1},
            {"type": "string"},
        ],
    },
    "matrix": {
        "description": "One resource for each combination of values.",
        "type": "object",
        "properties": {
            name: {"type": "array", "items": {"type": "object", "minProperties": 1}} for name in ("exclude", "include")
        },
        "additionalProperties": {
            "anyOf": [{"type": "array", "items": _SCALARS, "minItems": 1}, {"$ref": f"#/$defs/{_EXPRESSION}"}]
        },
        "minProperties": 1,
    },
}
_ANNOTATIONS = ("title", "description", "default", "examples")
# Blocks that are read before any value is known.
_LITERAL = ("Variable", "Moved")


def project_schema(kinds: Kinds) -> Schema:
    """The schema of `mlctl.yaml` with every installed kind. Raises MlctlError when one cannot be imported."""
    sections = {section: kinds.kind(section) for section in sorted(kinds.sections())}
    settings = {name: kinds.settings_model(name) for name in sorted(kinds.settings())}
    own: list[type[BaseModel]] = [Owner, Variable, StateBackend, Call, Policy, Moved, Imported]
    specs = [kind.spec for kind in sections.values()]
    models = list(dict.fromkeys([*own, *specs, *settings.values()]))
    references, found = models_json_schema([(model, "validation") for model in models], ref_template="#/$defs/{model}")
    definitions: dict[str, Schema] = found.get("$defs", {})
    refs = {model: references[model, "validation"] for model in models}
    for name, definition in definitions.items():
        if name not in _LITERAL:
            _take_expressions(definition)
    for spec in specs:
        _take_instances(definitions[_name(refs[spec])])
    _take_instances(definitions[_name(refs[Call])])
    definitions[_EXPRESSION] = {
        "type": "string",
        "pattern": r"\$\{[^${}]*\}",
        "description": "A value that is put in: `${var.name}`, `${env.NAME}`, `${each.key}`, `${section.name.output}` …",
    }
    blocks = {name: refs[model] for name, model in settings.items()}
    for section, kind in sections.items():
        blocks[section] = _section(refs[kind.spec], _first_line(kind.spec.__doc__))
    blocks["modules"] = _section(refs[Call], "Files of blocks that are used with inputs, by the name of each use.")
    blocks["owner"] = refs[Owner]
    blocks["policies"] = _section(refs[Policy], "Rules about plans.")
    blocks["import"] = {"type": "array", "items": refs[Imported], "description": "Existing objects to take over."}
    return {
        "$schema": _DIALECT,
        "title": "mlctl project",
        "description": "One project of mlctl: what exists, and how it is made.",
        "type": "object",
        "properties": {
            "project": {"type": "string", **_NAMES, "description": "The name of the project in the tools it uses."},
            "include": {
                "type": "array",
                "items": {"type": "string"},
                "description": "Patterns of more project files, relative to this one.",
            },
            "variables": {
                "type": ["object", "null"],
                "description": "Values that are given from outside.",
                "propertyNames": _VARIABLE_NAMES,
                "additionalProperties": refs[Variable],
            },
            "environments": _environments(
                blocks, [name for name, model in settings.items() if hasattr(model, "short")]
            ),
            "state": refs[StateBackend],
            "moved": {"type": "array", "items": refs[Moved], "description": "What resources were called before."},
            **blocks,
        },
        "required": ["project"],
        "additionalProperties": False,
        "$defs": definitions,
    }


def _section(reference: Schema, description: str) -> Schema:
    return {
        "type": ["object", "null"],
        "description": description,
        "propertyNames": _NAMES,
        "additionalProperties": reference,
    }


def _environments(blocks: Mapping[str, Schema], short: Collection[str]) -> Schema:
    """Overlays may say a part of anything, so that only their top level can be checked before one is laid over the project.

    A text may stand in place of a `short` block.
    """
    own: dict[str, Schema] = {
        "default": {"type": "boolean", "description": "Whether it is meant when no environment is named."},
        "description": {"type": "string"},
        "variables": {"type": ["object", "null"], "propertyNames": _VARIABLE_NAMES},
        "state": {"type": ["object", "null"]},
    }
    overlays: dict[str, Schema] = {
        name: {"type": ["array" if name == "import" else "object", "null", *(["string"] if name in short else [])]}
        for name in blocks
    }
    return {
        "type": ["object", "null"],
        "description": "Named overlays of the project, each with its own state; `null` takes something away.",
        "propertyNames": _NAMES,
        "additionalProperties": {
            "type": ["object", "null"],
            "properties": {**own, **overlays},
            "additionalProperties": False,
        },
    }


def _take_expressions(definition: Schema) -> None:
    """Let an expression stand where the fields of a block take another value."""
    for name, field in definition.get("properties", {}).items():
        definition["properties"][name] = _or_expression(field)


def _or_expression(field: Schema) -> Schema:
    """A schema that also takes an expression, in the places of a list or of a block by name too."""
    for inner in ("items", "additionalProperties"):
        if isinstance(field.get(inner), dict):
            field = {**field, inner: _or_expression(field[inner])}
    if not _refuses_text(field):
        return field
    outside: Schema = {name: field[name] for name in _ANNOTATIONS if name in field}
    inside = {name: value for name, value in field.items() if name not in outside}
    return {**outside, "anyOf": [inside, {"$ref": f"#/$defs/{_EXPRESSION}"}]}


def _refuses_text(field: Schema) -> bool:
    """Whether the text of an expression would not fit."""
    if "anyOf" in field:
        return all(_refuses_text(item) for item in field["anyOf"])
    if field.get("type") == "string":
        return bool(field.keys() & {"pattern", "enum", "const", "maxLength", "format"})
    types = field.get("type", ())
    return bool(field.keys() & {"type", "enum", "oneOf", "$ref"}) and "string" not in types


def _take_instances(definition: Schema) -> None:
    """Let a block stand for several resources."""
    definition["properties"] = {**definition.get("properties", {}), **{name: _INSTANCES[name] for name in FIELDS}}


def _name(reference: Schema) -> str:
    return str(reference["$ref"]).rpartition("/")[2]


def _first_line(text: str | None) -> str:
    return (text or "").strip().split("\n", 1)[0]
