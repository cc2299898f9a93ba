"""The `features` program: materialize a view, push rows to it, delete it, prove parity, or read online features."""

from __future__ import annotations

import os
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydantic import TypeAdapter

from mlctl.runtime import secrets
from mlctl.runtime.features import adopt, feast_store, parity, push, summary, warehouse, windows
from mlctl.runtime.features.answers import Answers
from mlctl.runtime.features.lineage import lineage
from mlctl.runtime.features.stores import fill
from mlctl.runtime.features.stores.opening import open_backend
from mlctl.runtime.profile.database import database
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.features import (
    AdoptEntityParams,
    AdoptViewParams,
    DeleteParams,
    FeaturesJob,
    GetParams,
    LogParityParams,
    MaterializeParams,
    ParityParams,
    PushParams,
    SummaryParams,
)
from mlctl.types.value import Json, digest

_JOB: TypeAdapter[FeaturesJob] = TypeAdapter(FeaturesJob)


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Do what `op` says. Raises MlctlError."""
    job = _JOB.validate_python(params)
    if isinstance(job, MaterializeParams):
        return JobResult(JobStatus.DONE, _materialize(job, report))
    if isinstance(job, AdoptViewParams):
        return JobResult(JobStatus.DONE, _adopt(job.wanted, report))
    if isinstance(job, AdoptEntityParams):
        adopt.adopt_entity(job)
        return JobResult(JobStatus.DONE)
    if isinstance(job, DeleteParams):
        return JobResult(JobStatus.DONE, {"left": feast_store.remove(job)})
    if isinstance(job, ParityParams):
        return JobResult(JobStatus.DONE, parity.compare(job, report).model_dump(mode="json"))
    if isinstance(job, LogParityParams):
        from mlctl.runtime.features import log_parity

        return JobResult(JobStatus.DONE, log_parity.compare(job, report).model_dump(mode="json"))
    if isinstance(job, SummaryParams):
        return JobResult(JobStatus.DONE, summary.summarize(job, report))
    if isinstance(job, PushParams):
        return JobResult(JobStatus.DONE, push.push(job, report))
    return JobResult(JobStatus.DONE, {"rows": _get(job)})


def _materialize(params: MaterializeParams, report: Report) -> dict[str, Json]:
    """Snapshots first, beside the old ones; under the store's lock, what is declared; last, and for as long as it takes, what is online."""
    snapshot = Path(params.snapshot)
    fresh = snapshot.with_name(f".{snapshot.name}.new")
    try:
        local = params if params.remote is None else warehouse.brought(params, report)
        report.progress("computing windows")
        with database(report.folder) as connection:
            made = windows.compute(connection, local, fresh)
        report.progress(f"{made.rows:,} snapshots of {made.keys:,} keys", made.rows, made.rows, "rows")
        evidence = _evidence(params, made, fresh)
        with feast_store.changing(params.store) as store:
            feast_store.check_ours(store, params)
            os.replace(fresh, snapshot)
            report.progress("declaring the view in Feast")
            feast_store.declare(store, params)
    finally:
        fresh.unlink(missing_ok=True)
    return _outputs(params, made, {**evidence, **_serve(params, made, report)})


def _adopt(params: MaterializeParams, report: Report) -> dict[str, Json]:
    """Take over a view whose definition and snapshots are what a materialization would have made. Changes nothing but marks."""
    if params.remote is not None:
        raise MlctlError.of(
            "import.unsupported",
            f"{params.marks.address} cannot be taken over: its rows stay in {params.remote.type}",
            "whether its snapshots are what the block gives can be told of files alone",
            "give the view another name and let `mlctl apply` declare it",
        )
    snapshot, fresh = Path(params.snapshot), report.folder / "snapshots.parquet"
    try:
        with feast_store.changing(params.store) as store:
            adopt.adopt_view(store, params)
            report.progress("computing windows")
            with database(report.folder) as connection:
                made = windows.compute(connection, params, fresh)
            with database(report.folder) as connection:
                there = windows.describe(connection, params, snapshot)
            adopt.same_content(made.digest, there.digest, params.view, params.marks.address)
        evidence, until = _evidence(params, made, snapshot), _served_until(params, made)
        if params.online:
            with closing(open_backend(params.store)) as backend:
                evidence |= _shown(fill.take_over(backend, params, until, made.digest))
    finally:
        fresh.unlink(missing_ok=True)
    return _outputs(params, made, {**evidence, "online_next": _next(params, until, report)})


def _evidence(params: MaterializeParams, made: windows.Snapshots, snapshot: Path) -> dict[str, Json]:
    """What tells, later and cheaply, whether all of it is still there. What is online is added to it."""
    return {
        "snapshot_bytes": snapshot.stat().st_size,
        "snapshot_blake3": blake3().update_mmap(snapshot).hexdigest(),
        "online_table": f"{params.store.project}_{params.view}",
        "online_rows": 0,
        "online_until": _served_until(params, made).isoformat(),
        "stream_events": 0 if params.log is None else params.log.events,
    }


def _served_until(params: MaterializeParams, made: windows.Snapshots) -> datetime:
    """The last moment that can be served: of a grid its last step that is over, of a precomputed table this very moment."""
    now = datetime.now(UTC)
    if params.grid_seconds == 0:
        return min(made.until, now)
    return windows.last_known(made.until, params.grid_seconds, now)


def _serve(params: MaterializeParams, made: windows.Snapshots, report: Report) -> dict[str, Json]:
    """Bring what is online to the last moment that is known by now, or see that there is nothing."""
    until = _served_until(params, made)
    if not params.online:
        feast_store.drop_online(params.store, params.view, params.marks)
        return {}
    with closing(open_backend(params.store)) as backend:
        report.progress(f"writing to the online store {backend.where}")
        records = fill.snapshot_records(params, until, report.folder)
        filled = fill.fill(backend, params, records, until, made.digest, report)
    report.progress(
        f"{filled.written:,} of {filled.keys:,} keys were newer than what was online, and {filled.removed:,} are no more"
    )
    return {**_shown(filled), "online_until": until.isoformat(), "online_next": _next(params, until, report)}


def _shown(filled: fill.Filled) -> dict[str, Json]:
    return {
        "online_rows": filled.size,
        "online_keys": filled.keys,
        "online_written": filled.written,
        "online_removed": filled.removed,
        "online_fill": filled.fill,
    }


def _next(params: MaterializeParams, until: datetime, report: Report) -> str | None:
    """When a row of a precomputed table that is dated ahead will be known; None for grids, whose steps tell."""
    if params.grid_seconds or not params.online:
        return None
    moment = fill.next_known(params, until, report.folder)
    return None if moment is None else moment.isoformat()


def _outputs(params: MaterializeParams, made: windows.Snapshots, evidence: dict[str, Json]) -> dict[str, Json]:
    """What dependents may read. The digest is of what training and serving would see of the view."""
    features = {item.name: item.dtype for item in params.features}
    keys = [key.model_dump() for key in params.keys]
    schema = [params.view, keys, features, params.grid_seconds, params.sparse, params.ttl_seconds]
    return {
        "view": params.view,
        "entity": params.entity,
        "keys": keys,
        "features": features,
        "offline": params.snapshot,
        "rows": made.rows,
        "snapshot_keys": made.keys,
        "since": made.since.isoformat(),
        "until": made.until.isoformat(),
        "grid_seconds": params.grid_seconds,
        "sparse": params.sparse,
        "ttl_seconds": params.ttl_seconds,
        "lineage": lineage(params),
        "online": params.online,
        "store": params.store.model_dump(mode="json"),
        "evidence": evidence,
        "definition": _definition(params),
        "digest": digest([made.digest, *schema]),
    }


def _definition(params: MaterializeParams) -> str:
    """How the view is computed and where it is served, whatever a stream has brought for it. Holds no secret."""
    defined = params.model_copy(update={"log": None}).model_dump(mode="json")
    return digest(secrets.known().hidden(defined))


def _get(params: GetParams) -> list[dict[str, Json]]:
    with closing(Answers(params.store, params.views, params.transformations, params.columns)) as answers:
        return answers.rows(params.keys, params.requests)
