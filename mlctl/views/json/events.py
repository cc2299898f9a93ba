"""The events of `--json`, type by type: what each says, and its fields. `mlctl schema --events` prints them as a JSON Schema."""

from __future__ import annotations

from mlctl.views.json.audit_events import AUDIT_EVENTS
from mlctl.views.json.cost_events import COST_EVENTS
from mlctl.views.json.data_events import DATA_EVENTS
from mlctl.views.json.decision_events import DECISION_EVENTS
from mlctl.views.json.event_type import (
    COUNT,
    FLAG,
    GATE,
    MAYBE_COUNT,
    MAYBE_NUMBER,
    MAYBE_TEXT,
    NUMBER,
    OBJECT,
    TEXT,
    TEXTS,
    Event,
    ref,
)
from mlctl.views.json.experiment_events import EXPERIMENT_EVENTS
from mlctl.views.json.loop_events import LOOP_EVENTS
from mlctl.views.json.model_events import MODEL_EVENTS
from mlctl.views.json.monitor_events import MONITOR_EVENTS
from mlctl.views.json.observability_events import OBSERVABILITY_EVENTS
from mlctl.views.json.serving_events import SERVING_EVENTS

_STEP = {"address": TEXT, "action": ref("action"), "reason": ref("reason")}
_CHANGE = {
    "address": TEXT,
    "key": MAYBE_TEXT,
    "action": ref("action"),
    "reason": ref("reason"),
    "class": ref("class"),
    "conditional": FLAG,
    "detail": TEXT,
    "blocked_by": MAYBE_TEXT,
    "moved_from": MAYBE_TEXT,
    "waits": MAYBE_TEXT,
    "estimate": {"oneOf": [ref("estimate"), {"type": "null"}]},
    "fields": {"type": "array", "items": ref("field")},
}
_RUN = {"exit_code": COUNT, "seconds": NUMBER}
_COUNTS = ("create", "update", "replace", "destroy", "run", "import", "forget", "unchanged")
_DIAGNOSTIC = {
    "severity": ref("severity"),
    "code": TEXT,
    "summary": TEXT,
    "why": TEXT,
    "fix": TEXT,
    "range": ref("range"),
    "address": MAYBE_TEXT,
}
_PLAN = {
    "version": Event(
        "The first line of `plan`, `apply`, `destroy` and what works like them: the version of mlctl and of this format.",
        {"mlctl": TEXT, "format": {"type": "string", "pattern": r"^1\.\d+$"}},
        {"python": TEXT, "platform": TEXT},
    ),
    "held": Event(
        "A rollback stands: apply does not undo it before `--unhold`.",
        {"run": TEXT, "reason": TEXT, "who": TEXT, "at": TEXT},
    ),
    "drift": Event(
        "A real object is not as it was left: gone, broken, or changed outside mlctl.",
        {"address": TEXT, "reason": ref("reason"), "detail": TEXT},
    ),
    "planned_change": Event(
        "What apply would do to one resource, and why. `key` is null while it is not known which object it will be; "
        "`conditional` says that it is done only if an input does turn out to change; `blocked_by` names the gate that holds it back; "
        "`waits` says why an unattended apply would not begin it; `estimate` what it would take, null where nobody can tell.",
        _CHANGE,
    ),
    "change_summary": Event(
        "The last line of a plan: how many changes of each kind. Resumed and adopted builds count under `run`. `estimate` is of all "
        "that can be foreseen: `seconds` and `usd` of what is made, `hourly` of what lasts; null where some of it cannot be told.",
        dict.fromkeys(_COUNTS, COUNT),
        {"estimate": {"type": "object", "properties": dict.fromkeys(("seconds", "usd", "hourly"), ref("foreseen"))}},
    ),
    "diagnostic": Event(
        "An error or a warning, with its place in a project file when it has one. Errors are on stdout too, and the exit code is not 0.",
        _DIAGNOSTIC,
        {"mended": FLAG},
    ),
}
_APPLY = {
    "apply_start": Event("A step has begun; its intent is on the disk.", _STEP),
    "apply_progress": Event(
        "A step moves on. `total` is null while it is not known.",
        {
            "address": TEXT,
            "message": TEXT,
            "done": MAYBE_NUMBER,
            "total": MAYBE_NUMBER,
            "unit": TEXT,
            "metrics": {"type": "object", "additionalProperties": MAYBE_NUMBER},
        },
    ),
    "apply_complete": Event(
        "A step has ended well. `reused` when the object was there already and nothing was done.",
        {**_STEP, "seconds": NUMBER, "reused": FLAG, "outputs": OBJECT},
    ),
    "apply_errored": Event(
        "A step has failed; `resumable` when the next apply goes on where it stopped.",
        {
            **_STEP,
            "seconds": NUMBER,
            "resumable": FLAG,
            "diagnostics": {"type": "array", "items": ref("event_diagnostic")},
        },
    ),
    "apply_detached": Event(
        "A step goes on without this command, which was asked to end; the next apply joins it.",
        {**_STEP, "seconds": NUMBER},
    ),
    "apply_skipped": Event(
        "A step was not begun because of another one.",
        {**_STEP, "because": TEXT, "why": TEXT},
    ),
    "gate": Event(
        "A check or an evaluation gave its verdict. With an `approval` its dependents go on although it did not pass.",
        {"address": TEXT, **GATE},
        {"approval": ref("approval")},
    ),
    "outputs": Event(
        "What a resource gives to others: after an apply one line for each that it made or changed, and the lines of `output`.",
        {"address": TEXT, "outputs": OBJECT},
    ),
    "apply_summary": Event(
        "The last line of an apply: its exit code, and steps by outcome.",
        {**_RUN, **dict.fromkeys(("done", "reused", "failed", "skipped", "gates_failed"), COUNT)},
    ),
}
_LOOKING = {
    "valid": Event(
        "The project has no problems in an environment (`validate`).",
        {"project": TEXT, "environment": TEXT, "resources": COUNT},
    ),
    "environment": Event(
        "One environment: what it is and has (`env list`, `env show`), or that it was made or deleted (`env new`, `env delete`).",
        {"name": TEXT},
        {
            "declared": FLAG,
            "from": MAYBE_TEXT,
            "backend": TEXT,
            "objects": COUNT,
            "serial": COUNT,
            "current": FLAG,
            "variables": OBJECT,
            "not_set": TEXTS,
            "changes": TEXTS,
            "state": OBJECT,
            "location": TEXT,
            "new": FLAG,
            "deleted": FLAG,
        },
    ),
    "status": Event(
        "How one object is doing (`status`).",
        {"address": TEXT, "condition": TEXT, "at": TEXT, "detail": TEXT, "owner": TEXT},
    ),
    "object": Event(
        "One object of the state: all of it (`show`), or its key and whether something was cut off (`state list`).",
        {"key": TEXT},
        {
            "address": TEXT,
            "id": MAYBE_TEXT,
            "spec": OBJECT,
            "parts": OBJECT,
            "uses": OBJECT,
            "after": TEXTS,
            "outputs": OBJECT,
            "gate": {"type": "object", "properties": GATE},
            "pending": {"enum": ["apply", "delete", None]},
            "sequence": COUNT,
            "provenance": OBJECT,
            "protected": FLAG,
            "origin": TEXT,
            "failure": {"type": "object", "properties": {"count": COUNT, "at": TEXT, "summary": TEXT}},
        },
    ),
    "why": Event(
        "Why a resource would change, and what changed last (`why`).",
        {**_CHANGE, "last": {"type": "array", "items": {"type": "object", "required": ["path", "old", "new"]}}},
    ),
    "explanation": Event(
        "One step of a plan from its place in the project to what follows (`explain`); each field has its place beside it.",
        {**_CHANGE, "causes": TEXTS, "follows": {"type": "array", "items": OBJECT}, "spared": TEXTS},
        {"range": {"type": ["object", "null"]}},
    ),
    "plan_difference": Event(
        "A resource about which two plans differ (`plan --diff`).", {"address": TEXT, "planned": TEXT, "now": TEXT}
    ),
    "value_difference": Event(
        "A variable that has another value than in an earlier plan (`plan --diff`).",
        {"name": TEXT, "old": {}, "new": {}},
    ),
    "comparison": Event(
        "The last line of `plan --diff`: whether all is the same, and the lines of project files that are not.",
        {"same": FLAG, "files": TEXTS},
    ),
    "run": Event(
        "One run: begun (`apply --detach`), at work (`status`), over (`cancel`), or in the history (`runs`). "
        "`exit_code` and `serial_after` are null until it is over.",
        {
            **dict.fromkeys(("id", "operation", "who", "host", "since", "ended", "why"), TEXT),
            **dict.fromkeys(("running", "detached"), FLAG),
            **dict.fromkeys(("exit_code", "serial_after"), MAYBE_COUNT),
            "serial_before": COUNT,
            "counts": OBJECT,
        },
    ),
    "console": Event("The value of an expression (`console`).", {"expression": TEXT, "value": {}}),
    "formatted": Event(
        "One file that `fmt` looked at: whether it is, or was, to be laid out anew.", {"file": TEXT, "changed": FLAG}
    ),
    "doctor": Event(
        "One thing that was looked at on this machine (`doctor`).",
        {"name": TEXT, "ok": FLAG, "text": TEXT, "fix": TEXT},
    ),
}
_STATE = {
    "approved": Event(
        "A person opened a gate (`approve`).",
        {"address": TEXT, "gate": {"type": ["object", "null"], "properties": GATE}},
    ),
    "moved": Event("An object has another address (`state mv`).", {"from": TEXT, "to": TEXT}),
    "forgotten": Event(
        "An object is no longer in the state; the real one stays (`state rm`).", {"key": TEXT, "id": MAYBE_TEXT}
    ),
    "state": Event(
        "The state was replaced (`state push`, `state undo`, `state rename-project`).",
        {"serial": COUNT, "lineage": TEXT, "objects": COUNT},
    ),
    "generation": Event(
        "One earlier state that is kept (`state log`); `changes` counts what became of objects since the one before.",
        {
            "serial": COUNT,
            **dict.fromkeys(("lineage", "at", "by", "operation"), TEXT),
            "changes": {"type": "object", "additionalProperties": COUNT},
            "size": COUNT,
            "damaged": {},
        },
    ),
    "difference": Event(
        "What became of one object between two states (`state diff`).",
        {
            "key": TEXT,
            "what": {"enum": ["added", "removed", "changed"]},
            "fields": {"type": "array", "items": {"type": "object", "required": ["path", "old", "new"]}},
        },
    ),
    "fsck_summary": Event(
        "How many problems of the state there were (`state fsck`).", {"found": COUNT, "mended": COUNT}
    ),
    "unlocked": Event(
        "The lock of a holder that is gone was taken away (`force-unlock`).",
        {"id": TEXT, "who": TEXT, "operation": TEXT},
    ),
}
_STAGES = {
    "monitor": Event(
        "The verdict of one run of a monitor (`monitor run`, `monitor history`).",
        {"monitor": TEXT, "run": TEXT, "verdict": TEXT},
        open=True,
    ),
    "schedule": Event(
        "The crontab line of a schedule and when it runs next (`schedule render`).",
        {"address": TEXT, "line": TEXT, "next": TEXTS},
    ),
}

# In the order in which the documentation tells them.
EVENTS: dict[str, Event] = {
    **_PLAN,
    **_APPLY,
    **_LOOKING,
    **_STATE,
    **_STAGES,
    **DATA_EVENTS,
    **MODEL_EVENTS,
    **SERVING_EVENTS,
    **EXPERIMENT_EVENTS,
    **DECISION_EVENTS,
    **MONITOR_EVENTS,
    **COST_EVENTS,
    **LOOP_EVENTS,
    **OBSERVABILITY_EVENTS,
    **AUDIT_EVENTS,
}
