"""What /openapi.json says, so that clients can be generated for this very model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from mlctl.runtime.server.payload import Fields, Kind
from mlctl.types.jobs.server import ServerJob

_TYPES: dict[Kind, Any] = {
    "number": ["number", "null"], "integer": "integer", "boolean": "boolean", "string": ["string", "null"],
}  # fmt: skip
_TEXT = {"type": "string"}
_REFUSED = {
    "type": "object",
    "required": ["code", "message", "request_id"],
    "properties": {"code": _TEXT, "message": _TEXT, "field": _TEXT, "request_id": _TEXT},
}
_PROBLEMS = {
    "401": "the token is missing or wrong", "404": "the feature store knows nothing of a key", "408": "the request came too slowly",
    "413": "the body is too large", "422": "a field is wrong; `field` names it", "500": "the model failed",
    "503": "the server is full, or the feature store is away", "504": "no prediction in time",
}  # fmt: skip


def document(job: ServerJob, kinds: Mapping[str, Kind]) -> dict[str, Any]:
    """The whole document."""
    answer = {"200": {"description": "predictions, one for each row", "content": _json(_answer())}}
    problems = {code: {"description": text, "content": _json(_REFUSED)} for code, text in _PROBLEMS.items()}
    if job.admission.token is None:
        del problems["401"]
    post: dict[str, Any] = {
        "summary": "Predict for keys or for given features",
        "requestBody": {"required": True, "content": _json({"oneOf": _forms(job, kinds)})},
        "responses": {**answer, **problems},
    }
    page: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": job.deployment, "version": f"{job.model.name} {job.model.version}"},
        "paths": {"/predict": {"post": post}},
    }
    if job.admission.token is not None:
        page["components"] = {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}}
        page["security"] = [{"token": []}]
    for path, text in (
        ("/healthz", "who this is"),
        ("/readyz", "whether to send requests"),
        ("/metrics", "for Prometheus"),
    ):
        page["paths"][path] = {"get": {"summary": text, "responses": {"200": {"description": text}}}}
    return page


def _forms(job: ServerJob, kinds: Mapping[str, Kind]) -> list[dict[str, Any]]:
    serving = job.serving
    instance = {
        "type": "object",
        "required": serving.columns,
        "properties": {name: {"type": _TYPES[kinds.get(name, "number")]} for name in serving.columns},
    }
    forms: list[dict[str, Any]] = [_list("instances", instance)]
    fields = Fields(serving)
    if fields.names:
        types = {name: {"type": "integer" if key.type == "int64" else "string"} for name, key in fields.keys.items()}
        brought = {
            name: {"type": ["integer" if kind == "int64" else "number", "null"]}
            for name, kind in fields.request.items()
        }
        row = {
            "type": "object",
            "required": fields.names,
            "properties": {**types, **brought},
            "additionalProperties": False,
        }
        alone = list(types.values()) if len(fields.names) == 1 else []  # a single key may stand for itself
        forms += [row, _list("keys", {"oneOf": [*alone, row]} if alone else row)]
    return forms


def _answer() -> dict[str, Any]:
    score = {"type": ["number", "array", "null"], "items": {"type": "number"}}
    row = {
        "type": "object",
        "required": ["score", "prediction"],
        "properties": {
            "score": score,
            "prediction": {},
            "missing": {"type": "array", "items": _TEXT},
            "defaulted": {"type": "boolean"},
        },
    }
    named = {"model": _TEXT, "version": _TEXT, "request_id": _TEXT}
    return {
        "type": "object",
        "required": ["predictions", *named],
        "properties": {"predictions": {"type": "array", "items": row}, **named},
    }


def _list(name: str, items: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": [name], "properties": {name: {"type": "array", "items": items}}}


def _json(schema: dict[str, Any]) -> dict[str, Any]:
    return {"application/json": {"schema": schema}}
