"""The events of money and prices: what `mlctl cost` prints, and the prices of a plan."""

from __future__ import annotations

from mlctl.views.json.event_type import (
    COUNT,
    FLAG,
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

_MAYBE_ESTIMATE = {"oneOf": [ref("estimate"), {"type": "null"}]}
_MAYBE_OBJECT = {"type": ["object", "null"]}
_NUMBERS = {"type": "object", "additionalProperties": NUMBER}
_COUNTS = {"type": "object", "additionalProperties": COUNT}

COST_EVENTS = {
    "prices": Event(
        "The prices that the estimates of a plan were made with, with a digest of the rows they were made of; `changed` are those that "
        "are not what they were when something was made. Printed only where there are any.",
        {"digest": TEXT, "rates": OBJECTS, "changed": OBJECTS},
    ),
    "cost_import": Event(
        "`mlctl cost import`: the rows of prices that were added to a list or changed in it, how many were there already (`unchanged`) and "
        "how many nothing was said about (`kept`), and what of the file was not taken over.",
        {
            "file": TEXT,
            "from": {"enum": ["skypilot", "gpuhunt", "rows"]},
            "list": TEXT,
            "in_project": FLAG,
            "lines": COUNT,
            "added": OBJECTS,
            "changed": {"type": "array", "items": {**OBJECT, "required": ["was", "now"]}},
            "unchanged": COUNT,
            "kept": COUNT,
            "unknown": _COUNTS,
            "left_out": _COUNTS,
        },
    ),
    "cost_run": Event(
        "What something did cost that was made (`cost actual`), beside what was foretold. Null is unknown, and `why` says why. `seconds` are those "
        "that devices were held for, by their own clock (`measured`) or by that of the step with its waits (`step`). `ratio` is of the dollars, "
        "or where nothing is paid of the time.",
        {
            "address": TEXT,
            "key": TEXT,
            "at": TEXT,
            "device": MAYBE_TEXT,
            "devices": MAYBE_COUNT,
            "tier": MAYBE_TEXT,
            "seconds": MAYBE_NUMBER,
            "usd": MAYBE_NUMBER,
            "foretold_seconds": ref("foreseen"),
            "foretold_usd": ref("foreseen"),
            "ratio": MAYBE_NUMBER,
            "basis": {"enum": ["measured", "step"]},
            "why": TEXT,
        },
    ),
    "cost_deployment": Event(
        "What a deployment did cost over a time (`cost actual`), with what its prediction log says of it; null is unknown. `api` is what the same "
        "tokens cost from a hosted model.",
        {
            "address": TEXT,
            "since": TEXT,
            "hours": MAYBE_NUMBER,
            "up": FLAG,
            "usd_per_hour": MAYBE_NUMBER,
            "usd": MAYBE_NUMBER,
            "requests": MAYBE_COUNT,
            "answered": MAYBE_COUNT,
            "prompt_tokens": MAYBE_COUNT,
            "completion_tokens": MAYBE_COUNT,
            "usd_per_thousand_requests": MAYBE_NUMBER,
            "usd_per_million_tokens": MAYBE_NUMBER,
            "api": {
                "type": ["object", "null"],
                "required": ["provider", "model", "source", "usd", "usd_per_million_tokens", "why"],
            },
            "notes": TEXTS,
        },
    ),
    "cost_actual": Event(
        "The last line of `cost actual`: sums of what is known, and of how many nothing is; null where nothing is known of any.",
        {
            "since": TEXT,
            "runs": COUNT,
            "runs_usd": MAYBE_NUMBER,
            "runs_unknown": COUNT,
            "deployments": COUNT,
            "deployments_usd": MAYBE_NUMBER,
            "deployments_unknown": COUNT,
        },
    ),
    "cost_estimate": Event(
        "What one resource takes where the project puts it (`cost estimate`). `state` is `made`, `to_be_made` or `refused`, for which `why` says "
        "why; without an estimate it is null.",
        {
            "address": TEXT,
            "state": {"enum": ["made", "to_be_made", "refused"]},
            "estimate": _MAYBE_ESTIMATE,
            "disk": ref("foreseen"),
            "why": TEXT,
        },
    ),
    "cost_total": Event(
        "The last line of `cost estimate`: all resources together as if one came after another, and those that are still to be made; null where "
        "one of them is not known.",
        {"all": _MAYBE_ESTIMATE, "to_be_made": _MAYBE_ESTIMATE},
    ),
    "cost_option": Event(
        "What one training or deployment would take on so many devices of one provider and tier (`cost compare`): first what will do, the cheapest "
        "first, then what will not, with what it fails by (`lost`). `usd` and `elapsed` count what spot devices lose; `paid` are the devices that "
        "are rented; `changes` is what else has to be written; `best` ones are not beaten in both time and money.",
        {
            "address": TEXT,
            "device": TEXT,
            "devices": COUNT,
            "paid": COUNT,
            "provider": TEXT,
            "tier": TEXT,
            "regions": TEXTS,
            "price": {**OBJECT, "required": ["low", "mid", "high", "basis", "as_of", "sources"]},
            "hourly": ref("foreseen"),
            "fit": {"enum": ["fits", "may not fit", "does not fit"]},
            "memory": ref("foreseen"),
            "seconds": ref("foreseen"),
            "elapsed": ref("foreseen"),
            "usd": ref("foreseen"),
            "useful": NUMBER,
            "figures": {"type": "object", "additionalProperties": ref("foreseen")},
            "changes": TEXTS,
            "lost": MAYBE_TEXT,
            "why": TEXT,
            "best": FLAG,
            "now": FLAG,
        },
    ),
    "cost_what_if": Event(
        "One resource as it is and as it would be with other values (`cost what-if`); null on the side that has not got it.",
        {"address": TEXT, "set": TEXTS, "today": _MAYBE_OBJECT, "then": _MAYBE_OBJECT},
    ),
    "cost_what_if_total": Event(
        "All resources together, as they are and as they would be; null where one of them is not known.",
        {"set": TEXTS, "today": _MAYBE_ESTIMATE, "then": _MAYBE_ESTIMATE},
    ),
    "cost_break_even": Event(
        "Rent, reserve or buy (`cost break-even`): what an hour of an own device costs by `terms` and at uses (`hourly`), each rent with the use "
        "from which buying costs less (above 1: never) and the months until it is paid back (null: never), the term that decides, what the first "
        "break-even would be if one input were a tenth higher, and what was paid until each month.",
        {
            "gpu": TEXT,
            "owned": OBJECT,
            "basis": {"type": "object", "additionalProperties": TEXT},
            "utilisation": NUMBER,
            "terms": _NUMBERS,
            "hourly": _NUMBERS,
            "rents": {
                "type": "array",
                "items": {
                    **OBJECT,
                    "required": [
                        "tier",
                        "usd",
                        "as_of",
                        "sources",
                        "break_even",
                        "payback_months",
                        "payback_months_full",
                        "all_hours",
                        "usd_in_all",
                    ],
                },
            },
            "decides": TEXT,
            "sensitivity": {"type": "array", "items": {**OBJECT, "required": ["name", "break_even", "moved"]}},
            "months": {"type": "array", "items": {**OBJECT, "required": ["month", "own", "rent"]}},
            "own_in_all": NUMBER,
        },
    ),
    "cost_size": Event(
        "The right size of one training or deployment (`cost size`): the option that costs least of all that will do (`chosen`; null when none "
        "will), all others with what each fails by (`lost`, `why`), where it is now, and what the choice saves of all of it or, `per_hour`, of an "
        "hour. `patch` are the changes that say so, as a diff, the other resources that they change too (`also`), or why there are none.",
        {
            "address": TEXT,
            "chosen": _MAYBE_OBJECT,
            "others": {
                "type": "array",
                "items": {**OBJECT, "required": ["device", "devices", "tier", "provider", "lost", "why"]},
            },
            "today": {
                **OBJECT,
                "required": [
                    "device",
                    "devices",
                    "tier",
                    "hourly",
                    "memory",
                    "elapsed",
                    "usd",
                    "lost",
                    "why",
                    "oversized",
                ],
            },
            "saves_usd": MAYBE_NUMBER,
            "per_hour": FLAG,
            "assumed_requests": MAYBE_NUMBER,
            "patch": {**OBJECT, "required": ["changes", "diff", "also", "why"]},
        },
    ),
    "cost_advice": Event(
        "What came of one of the ten ways to make a training or a deployment cheaper (`cost advise`), always by the same `number`. `saving` is what "
        "the estimate gets less by, and what is negative it takes more; `work` is the share of requests that need no model. `changes` say how to "
        "write it.",
        {
            "address": TEXT,
            "number": COUNT,
            "tactic": TEXT,
            "standing": {"enum": ["helps", "no gain", "in use", "does not apply", "unknown"]},
            "why": TEXT,
            "risk": TEXT,
            "saving": {"type": ["object", "null"], "required": ["usd", "per", "seconds", "memory", "work", "notes"]},
            "changes": {"type": "array", "items": {**OBJECT, "required": ["address", "change"]}},
            "diff": TEXT,
        },
    ),
    "cost_patched": Event(
        "The change of `--apply-patch`, and whether it was written (`cost size`, `cost advise`).",
        {"file": TEXT, "diff": TEXT, "written": FLAG},
    ),
}
