"""The events of `--json` about models: what each says, and its fields."""

from __future__ import annotations

from typing import Any

from mlctl.views.json.event_type import COUNT, FLAG, MAYBE_TEXT, NUMBER, OBJECT, TEXT, TEXTS, Event

_CHECKS: dict[str, Any] = {
    "type": "array",
    "items": {
        "type": "object",
        "required": ["what", "name", "status", "detail"],
        "properties": {
            "what": {"enum": ["data", "commit", "code", "base", "environment"]},
            "status": {"enum": ["same", "changed", "gone", "elsewhere", "unknown"]},
        },
    },
}

MODEL_EVENTS: dict[str, Event] = {
    "model": Event(
        "One version of a registered model (`models list`). `created` is in milliseconds since 1970.",
        {
            **dict.fromkeys(("name", "version"), TEXT),
            "aliases": TEXTS,
            **dict.fromkeys(("address", "lineage", "digest", "run_id"), MAYBE_TEXT),
            "metrics": {"type": "object", "additionalProperties": NUMBER},
            "created": COUNT,
        },
    ),
    "provenance": Event(
        "What a model was made of, and what has become of that since (`models provenance`). `version` is null for a training; "
        "`document` is what the run keeps as provenance.json.",
        {"model": TEXT, "version": {"type": ["object", "null"]}, "document": OBJECT, "checks": _CHECKS},
    ),
    "reproduction": Event(
        "What came out when a model was trained again (`models reproduce`).",
        {
            "model": TEXT,
            "run_id": TEXT,
            "verdict": {"enum": ["identical", "equivalent", "different"]},
            "tolerance": NUMBER,
            "digest": {"type": "object", "required": ["recorded", "again"]},
            "metrics": {
                "type": "object",
                "additionalProperties": {"type": "object", "required": ["recorded", "again"]},
            },
            "differences": _CHECKS,
        },
        {"folder": TEXT},
    ),
    "model_exported": Event(
        "A trained model was copied to a folder (`models export`).",
        {"address": TEXT, "folder": TEXT, "format": {"enum": ["merged", "adapter"]}},
    ),
    "model_converted": Event(
        "A GGUF file was converted to safetensors (`models convert`).",
        {"source": TEXT, "folder": TEXT, "parameters": COUNT},
    ),
    "kill_test": Event(
        "Whether kills lost anything of a training (`train --kill-test`): every step's loss and the weights, against an undisturbed run.",
        {
            "address": TEXT,
            "verdict": {"enum": ["passed", "failed"]},
            **dict.fromkeys(("steps", "every", "asked", "orphans"), COUNT),
            "kills": {"type": "array", "items": {"type": "object", "required": ["what", "signal", "step", "resumed"]}},
            **dict.fromkeys(("losses_identical", "weights_identical", "exact"), FLAG),
            **dict.fromkeys(("largest_difference", "seconds"), NUMBER),
            "problems": TEXTS,
        },
    ),
    "engine": Event(
        "A tool in an environment of its own, and whether that is there (`engine list`); of `engine install` with the seconds it took.",
        {**dict.fromkeys(("name", "version", "what", "folder", "python"), TEXT), "ready": FLAG},
        {"seconds": NUMBER},
    ),
    "engine_progress": Event(
        "What is done for the environment of a tool (`engine install`).", {"name": TEXT, "message": TEXT}
    ),
}
