"""The `features` program: materialize a view, delete one, prove parity, or read online features."""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from blake3 import blake3
from pydantic import TypeAdapter

from mlctl.runtime.features import adopt, feast_store, parity, windows
from mlctl.runtime.features.online import OnlineFeatures
from mlctl.runtime.profile.database import database
from mlctl.runtime.report import Report
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.features import (
    AdoptEntityParams,
    AdoptViewParams,
    DeleteParams,
    FeaturesJob,
    GetParams,
    MaterializeParams,
    ParityParams,
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
    return JobResult(JobStatus.DONE, {"rows": _get(job)})


def _materialize(params: MaterializeParams, report: Report) -> dict[str, Json]:
    """Snapshots first, beside the old ones; then, under the store's lock, everything is put in its place."""
    snapshot = Path(params.snapshot)
    fresh = snapshot.with_name(f".{snapshot.name}.new")
    try:
        report.progress("computing windows")
        with database(report.folder) as connection:
            made = windows.compute(connection, params, fresh)
        report.progress(f"{made.rows:,} snapshots of {made.keys:,} keys", made.rows, made.rows, "rows")
        evidence: dict[str, Json] = {
            "snapshot_bytes": fresh.stat().st_size,
            "snapshot_blake3": blake3().update_mmap(fresh).hexdigest(),
        }
        with feast_store.changing(params.store) as store:
            feast_store.check_ours(store, params)
            os.replace(fresh, snapshot)
            report.progress("declaring the view in Feast")
            feast_store.declare(store, params)
            evidence |= _serve(store, params, made, report)
    finally:
        fresh.unlink(missing_ok=True)
    return _outputs(params, made, evidence)


def _adopt(params: MaterializeParams, report: Report) -> dict[str, Json]:
    """Take over a view whose definition and snapshots are what a materialization would have made. Changes nothing but marks."""
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
        evidence: dict[str, Json] = {
            "snapshot_bytes": snapshot.stat().st_size,
            "snapshot_blake3": blake3().update_mmap(snapshot).hexdigest(),
            "online_table": feast_store.online_table(params.store, params.view),
            "online_rows": feast_store.online_rows(params.store, params.view) if params.online else 0,
            "online_until": windows.last_known(made.until, params.grid_seconds, datetime.now(UTC)).isoformat(),
        }
    finally:
        fresh.unlink(missing_ok=True)
    return _outputs(params, made, evidence)


def _serve(store: Any, params: MaterializeParams, made: windows.Snapshots, report: Report) -> dict[str, Json]:
    """Bring the online table of the view to the last snapshot that is known by now, or see that there is none."""
    until = windows.last_known(made.until, params.grid_seconds, datetime.now(UTC))
    rows = 0
    if params.online:
        report.progress("materializing to the online store")
        rows = feast_store.fill_online(store, params, until)
    else:
        feast_store.drop_online_table(params.store, params.view)
    return {
        "online_table": feast_store.online_table(params.store, params.view),
        "online_rows": rows,
        "online_until": until.isoformat(),
    }


def _outputs(params: MaterializeParams, made: windows.Snapshots, evidence: dict[str, Json]) -> dict[str, Json]:
    """What dependents may read. The digest is of what training and serving would see of the view."""
    features = {item.name: item.dtype for item in params.features}
    schema = [params.view, params.join_key, params.key_type, features, params.grid_seconds, params.ttl_seconds]
    return {
        "view": params.view,
        "entity": params.entity,
        "join_key": params.join_key,
        "dtype": params.key_type,
        "features": features,
        "offline": params.snapshot,
        "rows": made.rows,
        "keys": made.keys,
        "since": made.since.isoformat(),
        "until": made.until.isoformat(),
        "grid_seconds": params.grid_seconds,
        "ttl_seconds": params.ttl_seconds,
        "online": params.online,
        "store": params.store.model_dump(mode="json"),
        "evidence": evidence,
        "digest": digest([made.digest, *schema]),
    }


def _get(params: GetParams) -> list[dict[str, Json]]:
    lookup = OnlineFeatures(params.store, params.views, params.join_key)
    return [{params.join_key: key, **row} for key, row in zip(params.keys, lookup.get(params.keys), strict=True)]
