"""The events of `--json`, type by type: what each says, and its fields. `mlctl schema --events` prints them as a JSON Schema."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

_TEXT: dict[str, Any] = {"type": "string"}
_MAYBE_TEXT: dict[str, Any] = {"type": ["string", "null"]}
_COUNT: dict[str, Any] = {"type": "integer", "minimum": 0}
_MAYBE_COUNT: dict[str, Any] = {"type": ["integer", "null"]}
_NUMBER: dict[str, Any] = {"type": "number"}
_MAYBE_NUMBER: dict[str, Any] = {"type": ["number", "null"]}
_FLAG: dict[str, Any] = {"type": "boolean"}
_OBJECT: dict[str, Any] = {"type": "object"}
_TEXTS: dict[str, Any] = {"type": "array", "items": _TEXT}


def _ref(name: str) -> dict[str, Any]:
    return {"$ref": f"#/$defs/{name}"}


@dataclass(frozen=True, slots=True)
class Event:
    """One type of line. An `open` one carries fields of a tool or of the project beside those named here."""

    text: str
    required: Mapping[str, Any] = field(default_factory=dict)
    optional: Mapping[str, Any] = field(default_factory=dict)
    open: bool = False


_STEP = {"address": _TEXT, "action": _ref("action"), "reason": _ref("reason")}
_CHANGE = {
    "address": _TEXT,
    "key": _MAYBE_TEXT,
    "action": _ref("action"),
    "reason": _ref("reason"),
    "class": _ref("class"),
    "conditional": _FLAG,
    "detail": _TEXT,
    "blocked_by": _MAYBE_TEXT,
    "moved_from": _MAYBE_TEXT,
    "waits": _MAYBE_TEXT,
    "fields": {"type": "array", "items": _ref("field")},
}
_RUN = {"exit_code": _COUNT, "seconds": _NUMBER}
_COUNTS = ("create", "update", "replace", "destroy", "run", "import", "forget", "unchanged")
_DIAGNOSTIC = {
    "severity": _ref("severity"),
    "code": _TEXT,
    "summary": _TEXT,
    "why": _TEXT,
    "fix": _TEXT,
    "range": _ref("range"),
    "address": _MAYBE_TEXT,
}
_GATE = {"passed": _FLAG, "summary": _TEXT, "details": _TEXTS}

_PLAN = {
    "version": Event(
        "The first line of `plan`, `apply`, `destroy` and what works like them: the version of mlctl and of this format.",
        {"mlctl": _TEXT, "format": {"type": "string", "pattern": r"^1\.\d+$"}},
        {"python": _TEXT, "platform": _TEXT},
    ),
    "held": Event(
        "A rollback stands: apply does not undo it before `--unhold`.",
        {"run": _TEXT, "reason": _TEXT, "who": _TEXT, "at": _TEXT},
    ),
    "drift": Event(
        "A real object is not as it was left: gone, broken, or changed outside mlctl.",
        {"address": _TEXT, "reason": _ref("reason"), "detail": _TEXT},
    ),
    "planned_change": Event(
        "What apply would do to one resource, and why. `key` is null while it is not known which object it will be; "
        "`conditional` says that it is done only if an input does turn out to change; `blocked_by` names the gate that holds it back; "
        "`waits` says why an unattended apply would not begin it.",
        _CHANGE,
    ),
    "change_summary": Event(
        "The last line of a plan: how many changes of each kind. Resumed and adopted builds count under `run`.",
        dict.fromkeys(_COUNTS, _COUNT),
    ),
    "diagnostic": Event(
        "An error or a warning, with its place in a project file when it has one. Errors are on stdout too, and the exit code is not 0.",
        _DIAGNOSTIC,
        {"mended": _FLAG},
    ),
}
_APPLY = {
    "apply_start": Event("A step has begun; its intent is on the disk.", _STEP),
    "apply_progress": Event(
        "A step moves on. `total` is null while it is not known.",
        {
            "address": _TEXT,
            "message": _TEXT,
            "done": _MAYBE_NUMBER,
            "total": _MAYBE_NUMBER,
            "unit": _TEXT,
            "metrics": {"type": "object", "additionalProperties": _MAYBE_NUMBER},
        },
    ),
    "apply_complete": Event(
        "A step has ended well. `reused` when the object was there already and nothing was done.",
        {**_STEP, "seconds": _NUMBER, "reused": _FLAG, "outputs": _OBJECT},
    ),
    "apply_errored": Event(
        "A step has failed; `resumable` when the next apply goes on where it stopped.",
        {
            **_STEP,
            "seconds": _NUMBER,
            "resumable": _FLAG,
            "diagnostics": {"type": "array", "items": _ref("event_diagnostic")},
        },
    ),
    "apply_detached": Event(
        "A step goes on without this command, which was asked to end; the next apply joins it.",
        {**_STEP, "seconds": _NUMBER},
    ),
    "apply_skipped": Event(
        "A step was not begun because of another one.",
        {**_STEP, "because": _TEXT, "why": _TEXT},
    ),
    "gate": Event(
        "A check or an evaluation gave its verdict. With an `approval` its dependents go on although it did not pass.",
        {"address": _TEXT, **_GATE},
        {"approval": _ref("approval")},
    ),
    "outputs": Event(
        "What a resource gives to others: after an apply one line for each that it made or changed, and the lines of `output`.",
        {"address": _TEXT, "outputs": _OBJECT},
    ),
    "apply_summary": Event(
        "The last line of an apply: its exit code, and steps by outcome.",
        {**_RUN, **dict.fromkeys(("done", "reused", "failed", "skipped", "gates_failed"), _COUNT)},
    ),
}
_LOOKING = {
    "valid": Event(
        "The project has no problems in an environment (`validate`).",
        {"project": _TEXT, "environment": _TEXT, "resources": _COUNT},
    ),
    "environment": Event(
        "One environment: what it is and has (`env list`, `env show`), or that it was made or deleted (`env new`, `env delete`).",
        {"name": _TEXT},
        {
            "declared": _FLAG,
            "from": _MAYBE_TEXT,
            "backend": _TEXT,
            "objects": _COUNT,
            "serial": _COUNT,
            "current": _FLAG,
            "variables": _OBJECT,
            "not_set": _TEXTS,
            "changes": _TEXTS,
            "state": _OBJECT,
            "location": _TEXT,
            "new": _FLAG,
            "deleted": _FLAG,
        },
    ),
    "status": Event(
        "How one object is doing (`status`).",
        {"address": _TEXT, "condition": _TEXT, "at": _TEXT, "detail": _TEXT, "owner": _TEXT},
    ),
    "object": Event(
        "One object of the state: all of it (`show`), or its key and whether something was cut off (`state list`).",
        {"key": _TEXT},
        {
            "address": _TEXT,
            "id": _MAYBE_TEXT,
            "spec": _OBJECT,
            "parts": _OBJECT,
            "uses": _OBJECT,
            "after": _TEXTS,
            "outputs": _OBJECT,
            "gate": {"type": "object", "properties": _GATE},
            "pending": {"enum": ["apply", "delete", None]},
            "sequence": _COUNT,
            "provenance": _OBJECT,
            "protected": _FLAG,
            "origin": _TEXT,
            "failure": {"type": "object", "properties": {"count": _COUNT, "at": _TEXT, "summary": _TEXT}},
        },
    ),
    "why": Event(
        "Why a resource would change, and what changed last (`why`).",
        {**_CHANGE, "last": {"type": "array", "items": {"type": "object", "required": ["path", "old", "new"]}}},
    ),
    "explanation": Event(
        "One step of a plan from its place in the project to what follows (`explain`); each field has its place beside it.",
        {**_CHANGE, "causes": _TEXTS, "follows": {"type": "array", "items": _OBJECT}, "spared": _TEXTS},
        {"range": {"type": ["object", "null"]}},
    ),
    "plan_difference": Event(
        "A resource about which two plans differ (`plan --diff`).", {"address": _TEXT, "planned": _TEXT, "now": _TEXT}
    ),
    "value_difference": Event(
        "A variable that has another value than in an earlier plan (`plan --diff`).",
        {"name": _TEXT, "old": {}, "new": {}},
    ),
    "comparison": Event(
        "The last line of `plan --diff`: whether all is the same, and the lines of project files that are not.",
        {"same": _FLAG, "files": _TEXTS},
    ),
    "run": Event(
        "One run: begun (`apply --detach`), at work (`status`), over (`cancel`), or in the history (`runs`). "
        "`exit_code` and `serial_after` are null until it is over.",
        {
            **dict.fromkeys(("id", "operation", "who", "host", "since", "ended", "why"), _TEXT),
            **dict.fromkeys(("running", "detached"), _FLAG),
            **dict.fromkeys(("exit_code", "serial_after"), _MAYBE_COUNT),
            "serial_before": _COUNT,
            "counts": _OBJECT,
        },
    ),
    "console": Event("The value of an expression (`console`).", {"expression": _TEXT, "value": {}}),
    "formatted": Event(
        "One file that `fmt` looked at: whether it is, or was, to be laid out anew.", {"file": _TEXT, "changed": _FLAG}
    ),
    "doctor": Event(
        "One thing that was looked at on this machine (`doctor`).",
        {"name": _TEXT, "ok": _FLAG, "text": _TEXT, "fix": _TEXT},
    ),
}
_STATE = {
    "approved": Event(
        "A person opened a gate (`approve`).",
        {"address": _TEXT, "gate": {"type": ["object", "null"], "properties": _GATE}},
    ),
    "moved": Event("An object has another address (`state mv`).", {"from": _TEXT, "to": _TEXT}),
    "forgotten": Event(
        "An object is no longer in the state; the real one stays (`state rm`).", {"key": _TEXT, "id": _MAYBE_TEXT}
    ),
    "state": Event(
        "The state was replaced (`state push`, `state undo`).", {"serial": _COUNT, "lineage": _TEXT, "objects": _COUNT}
    ),
    "generation": Event(
        "One earlier state that is kept (`state log`); `changes` counts what became of objects since the one before.",
        {
            "serial": _COUNT,
            **dict.fromkeys(("lineage", "at", "by", "operation"), _TEXT),
            "changes": {"type": "object", "additionalProperties": _COUNT},
            "size": _COUNT,
            "damaged": {},
        },
    ),
    "difference": Event(
        "What became of one object between two states (`state diff`).",
        {
            "key": _TEXT,
            "what": {"enum": ["added", "removed", "changed"]},
            "fields": {"type": "array", "items": {"type": "object", "required": ["path", "old", "new"]}},
        },
    ),
    "fsck_summary": Event(
        "How many problems of the state there were (`state fsck`).", {"found": _COUNT, "mended": _COUNT}
    ),
    "unlocked": Event(
        "The lock of a holder that is gone was taken away (`force-unlock`).",
        {"id": _TEXT, "who": _TEXT, "operation": _TEXT},
    ),
}
_STAGES = {
    "features": Event("The online features of one key (`features get`).", open=True),
    "parity": Event(
        "Whether training and serving read the same features (`features parity`).",
        {
            "passed": _FLAG,
            "view": _TEXT,
            "at": _TEXT,
            **dict.fromkeys(("keys", "values", "mismatched", "null_mismatches"), _COUNT),
            "max_relative": _MAYBE_NUMBER,
            "tolerance": _NUMBER,
            "worst": {"type": ["object", "null"]},
        },
    ),
    "monitor": Event(
        "The verdict of one run of a monitor (`monitor run`, `monitor history`).",
        {"monitor": _TEXT, "run": _TEXT, "verdict": _TEXT},
        open=True,
    ),
    "schedule": Event(
        "The crontab line of a schedule and when it runs next (`schedule render`).",
        {"address": _TEXT, "line": _TEXT, "next": _TEXTS},
    ),
    "experiment_size": Event(
        "How many units an experiment needs (`experiment size`).", {"experiment": _TEXT, "n_total": _COUNT}, open=True
    ),
    "assignment": Event(
        "The arm of one unit, null when it is not in the experiment (`experiment assign`).",
        {"unit": _TEXT, "arm": _MAYBE_TEXT},
    ),
}

# In the order in which the documentation tells them.
EVENTS: dict[str, Event] = {**_PLAN, **_APPLY, **_LOOKING, **_STATE, **_STAGES}
