"""What `mlctl features list` and `describe` tell: the recorded views, services and entities, and how fresh they are."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from mlctl.launch import job
from mlctl.provider import Context
from mlctl.providers.feast.evidence import online_address
from mlctl.providers.feast.parity import PROGRAM
from mlctl.providers.feast.recorded import outputs_of
from mlctl.types.jobs.features import Store, SummaryParams, ViewSource
from mlctl.types.state import Record
from mlctl.types.value import Json


def listing(records: Mapping[str, Record]) -> dict[str, list[dict[str, Json]]]:
    """What there is, by sort, from the state alone, and what is not whole. Raises MlctlError for what an earlier version recorded."""
    found: dict[str, list[dict[str, Json]]] = {
        "entities": [],
        "feature_views": [],
        "on_demand_views": [],
        "feature_services": [],
        "unfinished": [],
    }
    tell = {"entities": _entity, "feature_views": view, "on_demand_views": _on_demand, "feature_services": _service}
    for record in records.values():
        section = record.key.address.section
        if section in tell and not record.complete:
            found["unfinished"].append({"address": str(record.key.address)})
        elif section in tell:
            found[section].append({"name": record.key.address.name, **tell[section](record)})
    return found


def view(record: Record) -> dict[str, Json]:
    """A feature view. `age_seconds` is how long ago the moment is that its values are of."""
    outputs = outputs_of(record)
    until = datetime.fromisoformat(outputs["evidence"]["online_until"] if outputs["online"] else outputs["until"])
    return {
        "entity": outputs["entity"],
        "keys": outputs["keys"],
        "features": outputs["features"],
        "ttl_seconds": outputs["ttl_seconds"],
        "rows": outputs["rows"],
        "snapshot_keys": outputs["snapshot_keys"],
        "since": outputs["since"],
        "until": outputs["until"],
        "online": outputs["online"],
        "online_keys": outputs["evidence"].get("online_keys") if outputs["online"] else None,
        "online_until": outputs["evidence"]["online_until"] if outputs["online"] else None,
        "age_seconds": max(0, int((datetime.now(UTC) - until).total_seconds())),
    }


def described(record: Record, ctx: Context) -> dict[str, Json]:
    """All of one view: what it is, where it is, what its features are made of, and what is in its snapshots. Raises MlctlError."""
    outputs = outputs_of(record)
    folder = ctx.folder(record.key) / "summary"
    job.discard(folder)
    params = SummaryParams(source=ViewSource.from_outputs(outputs))
    summary = job.run(PROGRAM, params.model_dump(mode="json"), folder, ctx).outputs["features"]
    store = Store.model_validate(ctx.secrets.opened(outputs["store"]))
    hidden = bool(ctx.secrets.missing(outputs["store"]))
    return {
        "name": record.key.address.name,
        "address": str(record.key.address),
        **view(record),
        "source": record.spec.get("source"),
        "description": record.spec.get("description") or "",
        "owner": record.spec.get("owner") or "",
        "grid_seconds": outputs["grid_seconds"],
        "sparse": outputs["sparse"],
        "offline": outputs["offline"],
        "online_store": None if hidden or not outputs["online"] else online_address(store),
        "feast_project": store.project,
        "statistics": summary,
        "lineage": outputs.get("lineage", {}),
        "digest": outputs["digest"],
    }


def _entity(record: Record) -> dict[str, Any]:
    return {"keys": outputs_of(record)["keys"]}


def _on_demand(record: Record) -> dict[str, Any]:
    made = record.outputs["transformation"]
    return {"features": made["features"], "request": made["request"], "function": f"{made['file']}:{made['function']}"}


def _service(record: Record) -> dict[str, Any]:
    serving = record.outputs["serving"]
    views = [item["view"] for item in serving["views"]]
    return {
        "keys": serving["keys"],
        "features": serving["columns"],
        "views": views,
        "request": record.outputs["request"],
    }
