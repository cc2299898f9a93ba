"""Take over a model that MLflow holds already: a copy of its files, figures on the training's own rows, and our mark on its run.

Of what is there nothing else is changed. Its data are taken to be those of the spec: nobody can tell from a model what it
was trained on, but its columns, its target and its scores on these rows can be held against them.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

from mlctl.files import atomic
from mlctl.files.digests import FileDigests
from mlctl.runtime import tracking
from mlctl.runtime.evaluate.metrics import score_metrics
from mlctl.runtime.evaluate.rows import score_table
from mlctl.runtime.report import Report
from mlctl.runtime.trainer.plan import FEATURES_FILE, TARGET_FILE, PreparedTable
from mlctl.runtime.trainer.tabular.finish import DATA_FOLDER, MODEL_FOLDER
from mlctl.runtime.trainer.tabular.prepare import KEYS_FILE, PROFILE_FILE, prepare
from mlctl.runtime.trainer.tabular.profile import numeric_profile
from mlctl.runtime.trainer.tabular.transformations import CODE_FOLDER as TRANSFORMATIONS
from mlctl.runtime.trainer.tabular.transformations import applied_from, digest_with
from mlctl.types.diagnostic import MlctlError
from mlctl.types.jobs.tracking import DIGEST_TAG, LINEAGE_TAG, OBJECT_TAG
from mlctl.types.jobs.train import AdoptJob, TableData
from mlctl.types.ownership import ADOPTED_TAG, differs, marked_by_another, not_found

_STAGE = ".adopting"
_GONE = ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE")


@dataclass(frozen=True, slots=True)
class Found:
    """A model in MLflow: the run it came from, and under which URI its files are fetched and registered."""

    run: Any
    uri: str
    source: str


def adopt(job: AdoptJob, report: Report, outputs_file: str) -> dict[str, Any]:
    """The outputs that a training would have given. Call inside `tracking_errors`. Raises MlctlError."""
    folder, target, address = report.folder, job.train.tracking, job.train.tracking.address
    client = tracking.connect(target)
    found = _find(client, job)
    _refuse_owned(found.run, job)
    report.progress("joining features and splitting rows")
    data = table_data(job)
    prepared = prepare(job.train, data, folder).data
    assert isinstance(prepared, PreparedTable)  # noqa: S101
    report.progress("copying the model")
    copy = _fetch(client, found, folder, job.id, address)
    columns = _columns(copy, prepared, found, job)
    report.progress("scoring the validation rows", 0, prepared.validation, "rows")
    metrics = _judge(copy, prepared, folder, columns, job)
    # first the word that it is not ours to delete, then the marks of being ours
    tracking.set_tags(client, found.run, {ADOPTED_TAG: "true", **target.marks()})
    outputs = {
        **_outputs(job, prepared, folder, found, columns),
        "metrics": metrics,
        "digest": _digest(copy, found.run, job),
    }
    atomic.write_json(folder / outputs_file, outputs)
    if data.transformations:
        shutil.rmtree(copy / TRANSFORMATIONS, ignore_errors=True)
        shutil.copytree(folder / TRANSFORMATIONS, copy / TRANSFORMATIONS)
    # as its last act: what has the place of a trained model counts as one
    shutil.rmtree(folder / MODEL_FOLDER, ignore_errors=True)
    os.replace(copy, folder / MODEL_FOLDER)
    shutil.rmtree(folder / _STAGE, ignore_errors=True)
    return outputs


def table_data(job: AdoptJob) -> TableData:
    """What the training learns from: only a model of rows can be taken over. Raises MlctlError."""
    if not isinstance(job.train.data, TableData):
        raise MlctlError.of(
            "import.not-tabular",
            f"{job.train.tracking.address} does not learn from rows",
            "only a model that gives a score for each row of a table can be taken over",
            "train it, or serve the model from where it is",
            address=job.train.tracking.address,
        )
    return job.train.data


def _find(client: MlflowClient, job: AdoptJob) -> Found:
    """The model behind `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/PATH`. Raises MlctlError."""
    address = job.train.tracking.address
    scheme, _, rest = job.id.partition(":/")
    try:
        if scheme == "runs" and "/" in rest:
            return Found(client.get_run(rest.partition("/")[0]), job.id, job.id)
        name, alias = rest.rpartition("@")[::2] if "@" in rest else ("", "")
        version = (
            client.get_model_version_by_alias(name, alias)
            if name
            else client.get_model_version(*rest.rpartition("/")[::2])
        )
        if not version.run_id:
            why = "a training is known by its run: figures and marks are kept there"
            raise not_found(f"run behind `{job.id}`", why, address, "log the model in a run, and give `runs:/RUN/PATH`")
        uri = f"models:/{version.name}/{version.version}"
        return Found(client.get_run(version.run_id), uri, version.source or uri)
    except MlflowException as error:
        if error.error_code not in _GONE:
            raise
        why = f"the tracking store is {job.train.tracking.uri}"
        raise not_found(f"model `{job.id}`", why, address, "see what there is with `mlflow ui`") from None


def _refuse_owned(run: Any, job: AdoptJob) -> None:
    target, tags = job.train.tracking, run.data.tags
    if LINEAGE_TAG not in tags:
        return
    if tags[LINEAGE_TAG] != target.lineage:
        raise marked_by_another(f"the run of `{job.id}`", tags, target.address)
    if tags.get(OBJECT_TAG) != target.object:
        raise MlctlError.of(
            "import.owned",
            f"the run of `{job.id}` is {tags.get('mlctl.address', 'another object')} of this project already",
            "an object is of one address",
            "rename it with a `moved:` block, or write `model: ${training.NAME.model}` where it is used",
            address=target.address,
        )


def _fetch(client: MlflowClient, found: Found, folder: Path, id: str, address: str) -> Path:
    """A copy of the model's files in our own folder. Raises MlctlError."""
    import mlflow

    mlflow.set_tracking_uri(client.tracking_uri)
    stage, said = folder / _STAGE, "it has no file `MLmodel`"
    # what a version was made from comes first: under its own URI MLflow finds nothing of one whose run keeps no copy
    for uri in dict.fromkeys((found.source, found.uri)):
        shutil.rmtree(stage, ignore_errors=True)
        stage.mkdir(parents=True)
        try:
            copy = Path(mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(stage)))
        except (MlflowException, OSError) as error:
            said = str(error).strip().splitlines()[0]
            continue
        if (copy / "MLmodel").is_file():
            (copy / "registered_model_meta").unlink(missing_ok=True)  # MLflow's note on where the copy is from
            return copy
    raise not_found(
        f"model at `{id}`", said, address, "name the model's folder, as in `runs:/RUN/model`; see it with `mlflow ui`"
    )


def _columns(place: Path, data: PreparedTable, found: Found, job: AdoptJob) -> list[str]:
    """The model's input columns in its own order. Raises MlctlError when they, its target or its task are not the spec's."""
    from mlflow.models import Model

    address = job.train.tracking.address
    signature = Model.load(str(place)).signature
    if signature is None or signature.inputs is None or not signature.inputs.has_input_names():
        raise MlctlError.of(
            "import.no-signature",
            f"the model `{job.id}` does not say which columns it reads",
            "its MLflow signature has no named inputs, so that nobody can tell what to give it",
            "log it again with `signature=mlflow.models.infer_signature(...)` on a data frame",
            address=address,
        )
    there, asked = list(signature.inputs.input_names()), list(data.columns)
    different = list(_differences(there, asked, found.run.data.params, job))
    if different:
        raise differs(f"the model `{job.id}`", address, different)
    return there


def _differences(
    there: list[str], asked: list[str], params: Mapping[str, str], job: AdoptJob
) -> Iterator[tuple[str, object, object]]:
    if sorted(there) != sorted(asked):
        extra, missing = sorted(set(there) - set(asked)), sorted(set(asked) - set(there))
        yield "data.features", extra or None, missing or None
    for name, wanted in (("target", table_data(job).target), ("task", table_data(job).task)):
        if name in params and wanted is not None and params[name] != wanted:
            yield f"data.{name}" if name == "target" else name, params[name], wanted


def _judge(place: Path, data: PreparedTable, folder: Path, columns: list[str], job: AdoptJob) -> dict[str, float]:
    """Metrics on the validation rows, as a training gives them; the scores go into the training profile. Raises MlctlError."""
    order = [data.columns.index(name) for name in columns]
    x = np.load(Path(data.folder) / FEATURES_FILE, mmap_mode="r")[data.train :][:, order].astype(np.float64)
    y = np.load(Path(data.folder) / TARGET_FILE, mmap_mode="r")[data.train :]
    score = score_table(place, columns, x)
    if data.task == "binary" and ((score < 0) | (score > 1)).any():
        raise MlctlError.of(
            "import.not-a-probability",
            f"the model `{job.id}` gives scores from {score.min():g} to {score.max():g}",
            f"`{table_data(job).target}` is 0 or 1, so a score has to be a probability",
            "wrap the model so that it gives probabilities, or set `task: regression`",
            address=job.train.tracking.address,
        )
    profile: dict[str, Any] = json.loads((folder / PROFILE_FILE).read_bytes())
    atomic.write_json(folder / PROFILE_FILE, {**profile, "score": numeric_profile(score)})
    return score_metrics(data.task, y, score)


def _outputs(job: AdoptJob, data: PreparedTable, folder: Path, found: Found, columns: list[str]) -> dict[str, Any]:
    place, run, asked = Path(os.path.relpath(folder)), found.run, table_data(job)
    ended = run.info.end_time or run.info.start_time
    shipped = applied_from(asked.transformations, folder / MODEL_FOLDER / TRANSFORMATIONS)
    return {
        "model": str(place / MODEL_FOLDER),
        "model_uri": found.source,
        "run_id": run.info.run_id,
        "experiment_id": run.info.experiment_id,
        "tracking_uri": job.train.tracking.uri,
        "training_profile": str(place / PROFILE_FILE),
        "keys": str(place / KEYS_FILE),
        "rows": data.train + data.validation,
        "target": asked.target,
        "task": data.task,
        "seconds": round((ended - run.info.start_time) / 1000, 3),
        "serving": asked.serving(columns, shipped),
        "views": [view.model_dump(mode="json") for view in asked.views],
        "transformations": [item.model_dump(mode="json") for item in shipped],
        "adopted": job.id,
    }


def _digest(place: Path, run: Any, job: AdoptJob) -> str:
    """The training's own where the model is one of ours, else of all its files and of what computes its inputs."""
    weights = place / "data" / DATA_FOLDER / "weights.pt"
    if weights.is_file() and DIGEST_TAG in run.data.tags:
        return str(run.data.tags[DIGEST_TAG])
    files = sorted(path for path in place.rglob("*") if path.is_file())
    return digest_with(FileDigests().tree(files, place), table_data(job).transformations)
