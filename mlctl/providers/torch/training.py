"""The kind `training`: a model trained by PyTorch in worker processes, tracked in MLflow, once for each content key."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.launch import job, process
from mlctl.launch.job import JobState
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.torch.entrypoint import check_entrypoint, closure, code_parts
from mlctl.providers.torch.runs import may_have_runs
from mlctl.providers.torch.spec import Ddp, Python, TrainingSpec
from mlctl.types import job as contract
from mlctl.types.address import ObjectKey
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.jobs.features import ViewSource
from mlctl.types.jobs.tracking import TrackingTarget, tracking_settings
from mlctl.types.jobs.train import CHECKPOINTS, AdoptJob, ForgetRunJob, MlpModel, PythonModel, TableInput, TrainJob
from mlctl.types.state import Record

_MODEL_URI = re.compile(r"models:/[^/@]+(/[0-9]+|@[^/@]+)|runs:/[0-9a-f]{32}/.+")


class Training:
    """Trains in the object's own folder: table, checkpoints, run id, model. A repeat goes on from the newest checkpoint."""

    section: ClassVar[str] = "training"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[Spec]] = TrainingSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.TRAINING
    settings: ClassVar[frozenset[str]] = frozenset({"tracking"})
    metadata_settings: ClassVar[frozenset[str]] = frozenset({"tracking"})  # where a run is logged does not change it

    def check(self, spec: TrainingSpec, ctx: Context) -> Sequence[Diagnostic]:
        """Fields that contradict each other, and the entry point of a `python` model."""
        found = []
        if spec.data.service is not None and spec.data.features:
            found.append(
                Diagnostic(
                    "training.features-unused",
                    "`features` has no effect beside `service`",
                    "the service says which features the model reads, and in which order",
                    "remove `features`, or add its views to the service",
                    path=("data", "features"),
                )
            )
        if spec.data.columns is not None and (spec.data.features or spec.data.service is not None):
            given = "service" if spec.data.service is not None else "features"
            found.append(
                Diagnostic(
                    "training.columns-unused",
                    f"`columns` has no effect beside `{given}`",
                    "the model reads the features; the labels only give key, time and target",
                    f"remove `columns`, or remove `{given}`",
                    path=("data", "columns"),
                )
            )
        if spec.data.columns is not None and spec.data.target in spec.data.columns:
            found.append(
                Diagnostic(
                    "training.target-leak",
                    f"the target `{spec.data.target}` is among its own features",
                    "the model would only learn to copy it",
                    "take it out of `columns`",
                    path=("data", "columns"),
                )
            )
        for name, many in (("columns", spec.data.columns or []), ("features", spec.data.features)):
            found += [
                Diagnostic(
                    "training.duplicate", f"`{item}` stands twice in `{name}`", "", "name it once", path=("data", name)
                )
                for item in sorted({item for item in many if many.count(item) > 1})
            ]
        if isinstance(spec.strategy, Ddp) and spec.batch_size < spec.strategy.processes:
            found.append(
                Diagnostic(
                    "training.batch-too-small",
                    f"a batch of {spec.batch_size} rows cannot be shared by {spec.strategy.processes} processes",
                    "`batch_size` counts the rows of all processes together",
                    f"set `batch_size` to at least {spec.strategy.processes}",
                    path=("batch_size",),
                )
            )
        if isinstance(spec.model, Python):
            found += check_entrypoint(spec.model, ctx)
        return found

    def parts(self, spec: TrainingSpec, ctx: Context) -> Mapping[str, str]:
        """The project's own code that a `python` model runs."""
        return code_parts(spec.model, ctx) if isinstance(spec.model, Python) else {}

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether the model is there, or how far its training is, by files and locks alone."""
        folder = ctx.folder(prior.key)
        if prior.complete:
            files = [prior.outputs.get(name) for name in ("model", "training_profile", "keys")]
            return Observed() if all(isinstance(name, str) and (ctx.root / name).exists() for name in files) else None
        state = job.state(folder)
        if state is JobState.RUNNING:
            return Observed(condition=Condition.RUNNING, detail=_position(folder))
        if state is JobState.DONE:
            return Observed(condition=Condition.RESUMABLE, detail="trained; its result was not noted yet")
        position = _position(folder)
        return Observed(condition=Condition.RESUMABLE, detail=position) if position else None

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Train, or go on with it, or take the result that is there."""
        folder = ctx.folder(desired.key)
        if job.state(folder) is JobState.DONE and not _whole(folder, ctx):
            (folder / contract.RESULT_FILE).unlink(
                missing_ok=True
            )  # files of the result are gone: make them again, from the last checkpoint if there is one
        result = job.run("train", train_job(desired, ctx).model_dump(mode="json"), folder, ctx, detachable=True)
        return Outcome(id=str(result.outputs["run_id"]), outputs=with_lineage(result.outputs, desired))

    def adopt(self, desired: Desired, id: str, ctx: Context) -> Outcome:
        """Take over a model that MLflow holds, by `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/PATH`."""
        if not _MODEL_URI.fullmatch(id):
            raise MlctlError.of(
                "import.bad-id",
                f"`{id}` does not name a model of MLflow",
                "a training takes over what a run or the registry holds",
                "write `models:/NAME/VERSION`, `models:/NAME@ALIAS` or `runs:/RUN/PATH`",
                address=str(desired.address),
            )
        folder = ctx.folder(desired.key)
        if job.state(folder) is JobState.DONE and not _whole(folder, ctx):
            (folder / contract.RESULT_FILE).unlink(missing_ok=True)
        params = AdoptJob(train=train_job(desired, ctx), id=id)
        result = job.run("train", params.model_dump(mode="json"), folder, ctx)
        return Outcome(id=str(result.outputs["run_id"]), outputs=with_lineage(result.outputs, desired))

    def delete(self, prior: Record, ctx: Context) -> None:
        """Stop it if it runs, mark its MLflow run as deleted (one that was taken over is given back), and remove its folder."""
        folder = ctx.folder(prior.key)
        process.stop(folder, job.STOP_GRACE_SECONDS)
        target = _target(prior.key, prior.spec, ctx)
        logged_at = prior.outputs.get("tracking_uri")
        if isinstance(logged_at, str):  # `tracking` may have been changed since
            target = target.model_copy(update={"uri": logged_at})
        database = target.database(ctx.root)
        if database is None or may_have_runs(database, target.object):
            job.run("train", ForgetRunJob(tracking=target).model_dump(mode="json"), folder / "forget", ctx)
        job.discard(folder)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the program and all its ranks."""
        path = ctx.folder(prior.key) / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """The validation metrics and the size of the training."""
        metrics = prior.outputs.get("metrics") or {}
        shown = [
            f"{name} {metrics[name]:.4f}"
            for name in ("roc_auc", "accuracy", "rmse", "r2")
            if isinstance(metrics.get(name), int | float)
        ]
        return "  ".join([*shown, f"{prior.outputs.get('rows') or 0:,} rows"])


def train_job(desired: Desired, ctx: Context) -> TrainJob:
    """The parameters of the worker program. Raises MlctlError for inputs that do not go together."""
    spec: TrainingSpec = desired.spec
    features = _features(desired)
    strategy = spec.strategy
    return TrainJob(
        tracking=_target(desired.key, desired.values, ctx),
        labels=TableInput.of(spec.data.labels, desired.input("datasets", spec.data.labels).outputs),
        **features,
        target=spec.data.target,
        task=spec.task,
        split_by=spec.data.split.by,
        test_share=spec.data.split.test,
        model=_model(spec, ctx),
        strategy=strategy.type,
        processes=strategy.processes if isinstance(strategy, Ddp) else 1,
        precision=spec.precision,
        epochs=spec.epochs,
        batch_size=spec.batch_size,
        optimizer=spec.optimizer.type,
        lr=spec.optimizer.lr,
        weight_decay=spec.optimizer.weight_decay,
        checkpoint_every=spec.checkpoint.every,
        checkpoint_keep=spec.checkpoint.keep,
        seed=spec.seed,
    )


def with_lineage(outputs: Mapping[str, Any], desired: Desired) -> dict[str, Any]:
    """The outputs with what the model's score is made of, column by column: the features, and what was learnt to foretell."""
    data = desired.spec.data
    labels = f"datasets.{data.labels}"
    origin = {
        feature: f"feature_views.{name}"
        for name in data.features
        for feature in desired.input("feature_views", name).outputs["features"]
    }
    rest = labels if data.service is None else f"feature_services.{data.service}"
    columns = [[origin.get(name, rest), name] for name in outputs["serving"]["columns"]]
    requested = [name for item in outputs["serving"]["transformations"] for name in item["request"]]
    columns += [[labels, name] for name in [*dict.fromkeys(requested), data.target]]
    how = f"{desired.spec.model.type} trained on {data.target} of {labels}"
    return {**outputs, "lineage": {"score": {"from": columns, "how": how}}}


def _features(desired: Desired) -> dict[str, Any]:
    """Which views are joined and which transformations applied, and the columns the model reads of it all, in order."""
    data = desired.spec.data
    if data.service is not None:
        service = desired.input("feature_services", data.service).outputs
        return {
            **{name: service[name] for name in ("views", "view_digests", "transformations", "store")},
            "columns": service["serving"]["columns"],
        }
    views = [desired.input("feature_views", name).outputs for name in data.features]
    return {
        "views": [ViewSource.from_outputs(view) for view in views],
        "view_digests": {view["view"]: view["digest"] for view in views},
        "store": views[0]["store"] if views else None,
        "columns": data.columns,
    }


def _model(spec: TrainingSpec, ctx: Context) -> MlpModel | PythonModel:
    if not isinstance(spec.model, Python):
        return MlpModel(hidden=spec.model.hidden, dropout=spec.model.dropout)
    root = ctx.root.resolve()
    files = closure(spec.model, ctx)
    file = ctx.path(spec.model.file).relative_to(root).as_posix()
    return PythonModel(
        file=file,
        function=spec.model.function,
        params=spec.model.params,
        closure=[path.relative_to(root).as_posix() for path in files],
        code_digest=ctx.digests.tree(files, root),
    )


def _target(key: ObjectKey, values: Mapping[str, Any], ctx: Context) -> TrackingTarget:
    """Where this object is tracked, by the project settings as they were when it was asked for, and under which marks."""
    made = ctx.made_as(key)
    uri, experiment = tracking_settings(values.get("project_tracking"), ctx.project)
    owner = {"owner": values["owner"]} if values.get("owner") else {}
    return TrackingTarget(
        uri=uri,
        experiment=experiment,
        lineage=ctx.lineage,
        address=str(made.address),
        object=str(made),
        labels={**owner, **values.get("tags", {})},
    )


def _whole(folder: Path, ctx: Context) -> bool:
    """Whether the files that a finished job put out are there."""
    stored = json.loads((folder / contract.RESULT_FILE).read_bytes())["outputs"]
    return all((ctx.root / stored[name]).exists() for name in ("model", "training_profile", "keys"))


def _position(folder: Path) -> str:
    """`step 450 of 1200` of the newest checkpoint, or nothing."""
    for path in sorted((folder / CHECKPOINTS).glob("step-*.json"), reverse=True):
        try:
            stored = json.loads(path.read_bytes())
            return f"step {stored['step']} of {stored['total']}"
        except (OSError, ValueError, KeyError):
            continue
    return ""
