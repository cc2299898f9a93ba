"""All that is known of one request, put together by its id: from the log, explanations, labels, the experiment, the rollout."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlctl.files.day_logs import Hits, first_after, search
from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.serving import controllers
from mlctl.providers.serving.rollout_report import history
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.label_lookup import LabelLookup, LabelSource
from mlctl.types.jobs.labels import Joining
from mlctl.types.jobs.observe import EXPLANATIONS_FOLDER
from mlctl.types.state import Record

_IDS = ("request_id", "trace_id")
_EVENTS = 3  # of the rollout, before the request
_FEATURES = ("features", "request", "feature_ref")
_TEXTS = ("prompt", "system", "answer")


@dataclass(frozen=True)
class Deployed:
    """A deployment that keeps a prediction log."""

    address: str
    record: Record
    folder: Path  # of the log

    @property
    def name(self) -> str:
        """Without its section."""
        return self.address.partition(".")[2]


def deployed(records: Mapping[str, Record], ctx: Context, name: str | None) -> list[Deployed]:
    """The deployments with a log, or the one that is named. Raises MlctlError when there is none."""
    wanted = None if name is None else f"deployments.{name.removeprefix('deployments.')}"
    found = [
        Deployed(address, record, ctx.root / str(record.outputs["predictions"]))
        for address, record in records.items()
        if address.startswith("deployments.") and record.outputs.get("predictions") and wanted in (None, address)
    ]
    if not found:
        raise MlctlError.of(
            "request.no-log",
            f"`{name}` keeps no prediction log" if name else "no deployment keeps a prediction log",
            "a request is found by what its server has logged",
            "deploy with `log: {predictions: true}`, and run `mlctl apply`",
        )
    return found


def find(places: Sequence[Deployed], id: str, day: str) -> tuple[Hits, list[tuple[Deployed, dict[str, Any]]]]:
    """The lines of a request or a trace, with the deployment of each, oldest first. Raises MlctlError when nobody knows it."""
    hits = search([item.folder for item in places], _spellings(id), _IDS, day)
    by_folder = {item.folder: item for item in places}
    if not hits.rows:
        looked = f"{hits.files} file{'s' if hits.files != 1 else ''}, {hits.bytes / 1e6:,.1f} MB"
        raise MlctlError.of(
            "request.unknown",
            f"no request or trace `{id}` is in the log",
            f"looked through {looked} of {', '.join(item.address for item in places)}; lines reach the log within a second",
            "see the header `x-request-id` of the answer; a full disk or a queue that is full drops lines (`mlctl_log_dropped_total`)",
        )
    return hits, [(by_folder[path.parent], row) for path, row in hits.rows]


def told(
    place: Deployed, row: Mapping[str, Any], records: Mapping[str, Record], ctx: Context, *, labels: bool
) -> dict[str, Any]:
    """One line of the log, and what belongs to it. What is not known is null, and never a zero."""
    known = {name: row.get(name) for name in ("ts", "request_id", "trace_id", "model", "version", "role", "variant")}
    parts = (*known, *_FEATURES, *_TEXTS, "deployment")
    return {
        "address": place.address,
        **known,
        "answer": {name: value for name, value in row.items() if name not in parts},
        "features": {name: row[name] for name in _FEATURES if row.get(name) is not None} or None,
        "texts": {name: row[name] for name in _TEXTS if row.get(name) is not None} or None,
        "explanations": _explanations(place, row),
        "labels": _labels(place, row, records, ctx) if labels else None,
        "experiments": list(_experiments(place, row, records)),
        "rollout": _rollout(place, row, ctx),
        "cost_usd": _cost(place, row, records),
        "spans": _spans(place, row),
    }


def _spellings(id: str) -> list[str]:
    """A trace may be given as a receiver names it (`tr-...`), or as the header has it."""
    plain = id.strip()
    parts = plain.split("-")
    if len(parts) == 4 and len(parts[1]) == 32:  # a traceparent
        return [parts[1]]
    return [plain, plain.removeprefix("tr-"), plain.lower().removeprefix("0x")]


def _explanations(place: Deployed, row: Mapping[str, Any]) -> list[dict[str, Any]]:
    folder = place.folder.parent / EXPLANATIONS_FOLDER
    hits = search([folder], [str(row.get("request_id"))], ("request_id",))
    named = ("request_id", "trace_id", "deployment", "model")
    return [
        {name: value for name, value in found.items() if name not in named}
        for _, found in hits.rows
        if found.get("version") == row.get("version") and found.get("key") == row.get("key")
    ]


def _labels(
    place: Deployed, row: Mapping[str, Any], records: Mapping[str, Record], ctx: Context
) -> list[dict[str, Any]]:
    sources = list(_label_sources(place, records))
    if not sources:
        return []
    by_key = row.get("key") and any(source.joining.id is None for source in sources)
    lookup = LabelLookup(
        request_id=str(row["request_id"]),
        key=row.get("key"),
        at=str(row["ts"]),
        next_at=_next(place, row) if by_key else None,
        sources=sources,
    )
    ctx.home.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix=".label-", dir=ctx.home))
    try:
        found: list[dict[str, Any]] = list(
            job.run("label_lookup", lookup.model_dump(mode="json"), folder, ctx).outputs["labels"]
        )
        return found
    finally:
        job.discard(folder)


def _next(place: Deployed, row: Mapping[str, Any]) -> str | None:
    """When the next prediction of the same key was made, as the log writes keys."""

    def same(other: Mapping[str, Any]) -> bool:
        answered = other.get("role", "stable") == "stable" and other.get("code", 200) == 200
        return bool(answered and other.get("key") == row["key"])

    text = f'"key": {json.dumps(row["key"], ensure_ascii=False)}'
    found = first_after(place.folder, text, str(row["ts"]), same)
    return None if found is None else str(found["ts"])


def _label_sources(place: Deployed, records: Mapping[str, Record]) -> Iterable[LabelSource]:
    for address, record in records.items():
        labels = (record.outputs.get("parts") or {}).get("labels") if address.startswith("monitors.") else None
        if labels and record.spec.get("deployment") == place.name:
            yield LabelSource(
                monitor=address, joining=Joining.model_validate(labels["joining"]), label=str(labels["label"])
            )


def _experiments(place: Deployed, row: Mapping[str, Any], records: Mapping[str, Record]) -> Iterable[dict[str, Any]]:
    for address, record in records.items():
        if address.startswith("experiments.") and record.spec.get("deployment") == place.name:
            arms = record.spec.get("arms") or {}
            arm = row.get("variant")
            counted = arm in arms and row.get("role") != "shadow"
            yield {
                "address": address,
                "arm": arm if counted else None,
                "unit": row.get("unit"),
                "propensity": row.get("propensity"),
            }


def _rollout(place: Deployed, row: Mapping[str, Any], ctx: Context) -> list[dict[str, Any]]:
    """What had happened in the rollout last, before the request."""
    folder = controllers.folder_of(place.record.key, ctx)
    before = [dict(event) for event in history(folder) if str(event.get("at", "")) <= str(row["ts"])]
    return before[-_EVENTS:]


def _cost(place: Deployed, row: Mapping[str, Any], records: Mapping[str, Record]) -> float | None:
    """By the prices that a monitor of the deployment lists, as they were on the day. None where anything of it is not known."""
    asked, answered = row.get("prompt_tokens"), row.get("completion_tokens")
    if not isinstance(asked, int) or not isinstance(answered, int) or row.get("cached"):
        return None  # an answer out of our own cache was no call of a model
    model, day = str(row.get("response_model") or row.get("request_model") or row.get("model")), str(row["ts"])[:10]
    for address, record in records.items():
        if not address.startswith("monitors.") or record.spec.get("deployment") != place.name:
            continue
        listed = ((record.outputs.get("parts") or {}).get("cost") or {}).get("prices") or {}
        known = [item for item in listed.get(model, ()) if (item.get("valid_from") or "") <= day]
        if known:
            price = max(known, key=lambda item: item.get("valid_from") or "")
            cached = min(row.get("cached_tokens") or 0, asked)
            if cached and price.get("cached_per_million") is None:
                return None
            fresh = (asked - cached) * price["input_per_million"] + cached * (price.get("cached_per_million") or 0.0)
            return float(fresh + answered * price["output_per_million"]) / 1e6
    return None


def _spans(place: Deployed, row: Mapping[str, Any]) -> dict[str, Any] | None:
    """Where the trace was sent, if it was."""
    traces = (place.record.spec.get("observe") or {}).get("traces")
    if not traces or not row.get("sampled"):
        return None
    return {"trace_id": row.get("trace_id"), "receiver": traces["endpoint"]}
