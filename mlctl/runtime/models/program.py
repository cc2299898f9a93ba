"""What MLflow knows of models: the versions in the registry, and where one of them comes from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from mlflow import MlflowClient
from mlflow.exceptions import MlflowException
from pydantic import TypeAdapter

from mlctl.runtime import tracking
from mlctl.runtime.models.checks import checks
from mlctl.runtime.report import Report
from mlctl.types.diagnostic import MlctlError, did_you_mean
from mlctl.types.job import JobResult, JobStatus
from mlctl.types.jobs.models import ListModels, ModelsJob, Trace
from mlctl.types.jobs.tracking import ADDRESS_TAG, DIGEST_TAG, LINEAGE_TAG, SQLITE, database_path
from mlctl.types.value import Json

PROVENANCE_FILE, TRAINING_FILE = "provenance.json", "training.json"
_METRICS_TAG = "mlctl.metrics"


def main(params: dict[str, Any], report: Report) -> JobResult:
    """Answer one question."""
    job: ListModels | Trace = TypeAdapter(ModelsJob).validate_python(params)
    with tracking.tracking_errors(job.uri):
        client = _connected(job.uri)
        found = {"versions": list(_versions(client))} if isinstance(job, ListModels) else _trace(client, job)
    return JobResult(JobStatus.DONE, found)


def _connected(uri: str) -> MlflowClient:
    """A client of a store that exists: a question makes none."""
    path = database_path(uri, Path.cwd())
    if path is None:
        return MlflowClient(tracking_uri=uri)
    if not path.exists():
        raise MlctlError.of(
            "models.nothing-tracked",
            f"there is no tracking database {path}",
            "nothing was trained in this project yet, or it was removed",
            "run `mlctl apply`",
        )
    return MlflowClient(tracking_uri=f"{SQLITE}{path.resolve()}")


def _versions(client: MlflowClient, name: str | None = None) -> Iterator[dict[str, Json]]:
    """Every version, the newest of each model first."""
    for model in _pages(lambda token: client.search_registered_models(page_token=token)):
        if name is not None and model.name != name:
            continue
        aliases: dict[str, list[str]] = {}
        for alias, version in model.aliases.items():
            aliases.setdefault(str(version), []).append(alias)
        quoted = model.name.replace("'", "''")
        found = _pages(lambda token, text=quoted: client.search_model_versions(f"name = '{text}'", page_token=token))
        for version in sorted(found, key=lambda item: -int(item.version)):
            yield {
                "name": model.name,
                "version": str(version.version),
                "aliases": sorted(aliases.get(str(version.version), [])),
                "address": version.tags.get(ADDRESS_TAG),
                "lineage": version.tags.get(LINEAGE_TAG),
                "digest": version.tags.get(DIGEST_TAG),
                "metrics": json.loads(version.tags.get(_METRICS_TAG, "{}")),
                "run_id": version.run_id or None,
                "created": int(version.creation_timestamp),
            }


def _pages(ask: Any) -> Iterator[Any]:
    token = None
    while True:
        page = ask(token)
        yield from page
        token = page.token
        if not token:
            return


def _trace(client: MlflowClient, job: Trace) -> dict[str, Json]:
    version = None if job.name is None else _version(client, job)
    run_id = job.run_id if version is None else version["run_id"]
    if not isinstance(run_id, str):
        raise _untraced("it was registered without a run")
    try:
        run = client.get_run(run_id)
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        raise _untraced(f"its run {run_id} is gone") from None
    names = {item.path for item in client.list_artifacts(run_id)}
    if PROVENANCE_FILE not in names:
        raise _untraced(f"its run {run_id} has no {PROVENANCE_FILE}: it was trained by an older mlctl, or not by it")
    with tempfile.TemporaryDirectory() as place:
        document = json.loads(Path(client.download_artifacts(run_id, PROVENANCE_FILE, place)).read_bytes())
        job_file = Path(client.download_artifacts(run_id, TRAINING_FILE, place)) if TRAINING_FILE in names else None
        training = None if job_file is None else json.loads(job_file.read_bytes())
    return {
        "version": version,
        "document": document,
        "training": training,
        "artifacts": run.info.artifact_uri,
        "checks": [check.model_dump() for check in checks(document, Path.cwd())],
    }


def _version(client: MlflowClient, job: Trace) -> dict[str, Any]:
    """The version that was asked for. Raises MlctlError when there is none."""
    found = list(_versions(client, job.name))
    if not found:
        known = sorted({str(item["name"]) for item in _versions(client)})
        fix = did_you_mean(str(job.name), known) or "see what there is with `mlctl models list`"
        raise MlctlError.of("models.unknown", f"there is no registered model `{job.name}`", "", fix)
    for item in found:
        wanted = job.version in (None, item["version"]) if job.alias is None else job.alias in item["aliases"]
        if wanted:
            return item
    what = f"alias `{job.alias}`" if job.alias is not None else f"version {job.version}"
    known = [alias for item in found for alias in item["aliases"]] if job.alias is not None else []
    versions = ", ".join(str(item["version"]) for item in found[:10])
    fix = (did_you_mean(job.alias or "", known) if known else "") or f"there are the versions {versions}"
    raise MlctlError.of("models.unknown", f"`{job.name}` has no {what}", "", fix)


def _untraced(why: str) -> MlctlError:
    return MlctlError.of(
        "models.untraced", "it is not known where this model comes from", why, "train it again with `mlctl apply`"
    )
