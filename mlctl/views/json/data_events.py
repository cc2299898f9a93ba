"""The events of `--json` about data and features: what each says, and its fields."""

from __future__ import annotations

from typing import Any

from mlctl.views.json.event_type import (
    COUNT,
    FLAG,
    GATE,
    MAYBE_COUNT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    OBJECTS,
    TEXT,
    TEXTS,
    Event,
    ref,
)

_SIDE: dict[str, Any] = {"type": "object", "required": ["key", "at", "rows", "digest"]}  # of a comparison

DATA_EVENTS: dict[str, Event] = {
    "profile": Event(
        "What is in a dataset, column by column in the order of the data (`data profile`), and what is worth a look.",
        {
            "address": TEXT,
            "key": TEXT,
            "rows": COUNT,
            "columns": {"type": "array", "items": ref("column")},
            "remarks": {
                "type": "array",
                "items": {"type": "object", "required": ["column", "code", "text"], "additionalProperties": TEXT},
            },
        },
    ),
    "data_check": Event(
        "The verdict on a dataset, rule by rule (`data check`). `rows` and `gate` are null when it was not judged.",
        {
            "address": TEXT,
            "rows": MAYBE_COUNT,
            "gate": {"type": ["object", "null"], "properties": GATE},
            "rules": {"type": "array", "items": {"type": "object", "required": ["rule", "columns", "passed"]}},
        },
    ),
    "data_version": Event(
        "One version of a dataset that the state holds (`data versions`). `held` says whether its rows can still be read.",
        {
            **dict.fromkeys(("key", "identity", "at", "digest"), TEXT),
            "status": {"enum": ["current", "retained", "unfinished"]},
            **dict.fromkeys(("rows", "columns"), MAYBE_COUNT),
            "held": FLAG,
            **dict.fromkeys(("runs", "used_by"), TEXTS),
        },
    ),
    "data_diff": Event(
        "What differs between two versions of a dataset (`data diff`). `bins_of` is the side whose bins the other was counted "
        "into; `keys` is null, with a note, where the rows of both cannot be read.",
        {
            **dict.fromkeys(("a", "b"), _SIDE),
            **dict.fromkeys(("added", "removed", "retyped"), OBJECTS),
            "bins_of": {"enum": ["a", "b", None]},
            "columns": {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["name", "changed", "a", "b", "psi", "psi_p_value", "jensen_shannon", "bins"],
                },
            },
            "keys": {
                "type": ["object", "null"],
                "required": ["key", "added", "removed", "changed", "same", "duplicated"],
            },
            "notes": TEXTS,
        },
    ),
    "contract_recorded": Event(
        "What recording a data contract changed in its file, or would change (`data contract record`, with `--check`).",
        {"dataset": TEXT, "file": TEXT, "written": FLAG, "changes": TEXTS},
    ),
    "contract": Event(
        "A recorded data contract (`data contract show`).", {"file": TEXT, "dataset": TEXT, "rows": COUNT}, open=True
    ),
    "contract_exported": Event(
        "The suite of a data check (`data contract export`), and the rules that only travel along in its `meta`.",
        {"data_check": TEXT, "suite": OBJECT, "not_in_library": TEXTS},
    ),
    "contract_imported": Event(
        "The rules for one dataset out of another tool's file (`data contract import`), and what was not taken.",
        {
            "dataset": TEXT,
            "rules": {"type": "array", "items": OBJECT},
            "left_out": {"type": "array", "items": OBJECT},
            "notes": TEXTS,
        },
    ),
    "features": Event(
        "The online features of one key, and the time that each view's values are of (`features get`).",
        {"keys": OBJECT, "features": OBJECT, "event_times": OBJECT},
    ),
    "parity": Event(
        "Whether training and serving read the same features (`features parity`).",
        {
            "passed": FLAG,
            "view": TEXT,
            "at": TEXT,
            **dict.fromkeys(("keys", "values", "ahead", "mismatched", "null_mismatches"), COUNT),
            "max_relative": MAYBE_NUMBER,
            "tolerance": NUMBER,
            "worst": {"type": ["object", "null"]},
        },
    ),
    "log_parity": Event(
        "Whether the model of a deployment saw what training would have seen (`features parity --deployment`).",
        {
            "deployment": TEXT,
            "passed": FLAG,
            "since": MAYBE_TEXT,
            "until": TEXT,
            **dict.fromkeys(("predictions", "compared", "without_keys", "other_versions", "unreadable"), COUNT),
            "tolerance": NUMBER,
            **dict.fromkeys(("features", "lags", "worst"), OBJECTS),
        },
    ),
    "features_list": Event(
        "The feature views, services, on-demand views and entities that are made (`features list`).",
        dict.fromkeys(("entities", "feature_views", "on_demand_views", "feature_services", "unfinished"), OBJECTS),
    ),
    "feature_view": Event(
        "All of one feature view (`features describe`).",
        {"name": TEXT, "address": TEXT, "keys": OBJECTS, "features": OBJECT, "statistics": OBJECT, "lineage": OBJECT},
        open=True,
    ),
    "features_push": Event(
        "How many rows of a file are online now, and how many were older than what is there (`features push`).",
        {"view": TEXT, **dict.fromkeys(("rows", "written", "older"), COUNT)},
        open=True,
    ),
    "features_serve": Event(
        "What the server of features says (`features serve`).", {"message": TEXT, "host": TEXT, "port": COUNT}
    ),
}
