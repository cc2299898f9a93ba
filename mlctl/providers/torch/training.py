"""The kind `training`: a model trained by PyTorch in worker processes, tracked in MLflow, once for each content key."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from mlctl.files import atomic
from mlctl.launch import job
from mlctl.launch.job import JobState
from mlctl.processes import worker
from mlctl.provider import Condition, Context, Desired, Family, Observed, Outcome, Spec, diff_fields
from mlctl.providers.torch.base import base_parts
from mlctl.providers.torch.entrypoint import code_parts
from mlctl.providers.torch.ranks import rank_logs
from mlctl.providers.torch.render import tracking_target, train_job
from mlctl.providers.torch.resuming import newest_layout, position, refuse_other_layout
from mlctl.providers.torch.rules import check_training
from mlctl.providers.torch.runs import may_have_runs
from mlctl.providers.torch.search_rules import check_search
from mlctl.providers.torch.spec import Data, Python, TrainingSpec
from mlctl.providers.torch.together import untimed_problems
from mlctl.types import job as contract
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.estimate import Estimate
from mlctl.types.jobs.executors import PLACED_FILE
from mlctl.types.jobs.train import FILES, AdoptJob, ForgetRunJob, StopRanksJob, TrainJob
from mlctl.types.state import Record

if TYPE_CHECKING:
    from mlctl.estimate.workload import Workload

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
        return [*check_training(spec, ctx), *check_search(spec, ctx)]

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """Rows that are placed in time have one."""
        return untimed_problems(specs, uses)

    def parts(self, spec: TrainingSpec, ctx: Context) -> Mapping[str, str]:
        """The project's own code that a `python` model runs, or the files that a language model begins with."""
        return code_parts(spec.model, ctx) if isinstance(spec.model, Python) else base_parts(spec, ctx)

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether the model is there, or how far its training is, by files and locks alone."""
        folder = ctx.folder(prior.key)
        if prior.complete:
            files = [prior.outputs.get(name) for name in FILES if name in prior.outputs or name == "model"]
            return Observed() if all(isinstance(name, str) and (ctx.root / name).exists() for name in files) else None
        state = job.state(folder)
        if state is JobState.RUNNING:
            return Observed(condition=Condition.RUNNING, detail=position(folder))
        if state is JobState.DONE:
            return Observed(condition=Condition.RESUMABLE, detail="trained; its result was not noted yet")
        reached = position(folder)
        return Observed({"layout": newest_layout(folder)}, Condition.RESUMABLE, reached) if reached else None

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf. Raises MlctlError when what there is of it was spread in a way that the new one cannot go on from."""
        if not prior.complete:
            made = seen.fields.get("layout")
            if made is not None:
                refuse_other_layout(made, desired)
            seen = replace(seen, fields={})
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Train, or go on with it, or take the result that is there."""
        folder = ctx.folder(desired.key)
        if job.state(folder) is JobState.DONE and not _whole(folder, ctx):
            (folder / contract.RESULT_FILE).unlink(
                missing_ok=True
            )  # files of the result are gone: make them again, from the last checkpoint if there is one
        from mlctl.providers.torch.costs import carries, limited
        from mlctl.providers.torch.taken import note

        params = limited(train_job(desired, ctx), desired.spec, folder, ctx).params()
        note(folder, desired.spec.batch_size if carries(desired.spec) else None)
        result = job.run("train", params, folder, ctx, detachable=True)
        from mlctl.providers.torch.actuals import with_actual

        outputs = with_actual(with_lineage(result.outputs, desired), desired, ctx)
        return Outcome(id=str(result.outputs["run_id"]), outputs=outputs)

    def estimate(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Estimate:
        """Memory, time and money. Raises MlctlError for what cannot fit its device, and for data that cannot be learnt from."""
        from mlctl.providers.torch.columns import refuse_columns, told
        from mlctl.providers.torch.estimates import estimate

        refuse_columns(desired)
        found, (notes, warnings) = estimate(desired, made, ctx), told(desired)
        return replace(found, notes=(*found.notes, *notes), warnings=(*found.warnings, *warnings))

    def workload(self, desired: Desired, made: Sequence[Record], ctx: Context) -> Workload | None:
        """How it would do on other devices."""
        from mlctl.providers.torch.workload import workload

        return workload(desired, made, ctx)

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
        worker.stop(folder, job.STOP_GRACE_SECONDS)
        _stop_ranks(folder, ctx)
        target = tracking_target(prior.key, prior.spec, ctx)
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

    def rank_logs(self, prior: Record, rank: int, ctx: Context) -> Sequence[Path]:
        """What one rank wrote: all of the log where there is only one."""
        return rank_logs(ctx.folder(prior.key), rank)

    def describe(self, prior: Record) -> str:
        """The validation metrics and the size of the training, what it took beside what was foretold, and what is to be looked at."""
        from mlctl.providers.torch.actuals import told

        metrics = prior.outputs.get("metrics") or {}
        rate, task = prior.outputs.get("base_rate"), prior.outputs.get("task")
        beside = {"accuracy": f" (base rate {rate:.4f})"} if isinstance(rate, int | float) else {}
        shown = [
            f"{name} {metrics[name]:.4f}{beside.get(name, '')}"
            for name in ("roc_auc", "accuracy", "rmse", "r2", "perplexity")
            if isinstance(metrics.get(name), int | float)
        ]
        took = [text] if (text := told(prior)) else []
        inferred = ["task: regression (inferred)"] if task == "regression" and prior.spec.get("task") is None else []
        noted: Any = prior.outputs.get("warnings") or ()
        warned = [f"! {item['short']}" for item in noted if isinstance(item, Mapping) and "short" in item]
        packs = task == "causal_lm" and (prior.spec.get("data") or {}).get("packing", True) is not False
        unit = "packed sequences" if packs else "documents" if task == "causal_lm" else "rows"
        return "  ".join([*shown, f"{prior.outputs.get('rows') or 0:,} {unit}", *took, *inferred, *warned])


def with_lineage(outputs: Mapping[str, Any], desired: Desired) -> dict[str, Any]:
    """The outputs with what the model's score is made of, column by column: the features, and what was learnt to foretell."""
    data = desired.spec.data
    if not isinstance(data, Data):
        columns = [name for name in (data.messages, data.prompt, data.completion, data.text) if name is not None]
        used = [[f"datasets.{data.dataset}", name] for name in columns]
        how = f"{desired.spec.model.type} trained on datasets.{data.dataset}"
        return {**outputs, "lineage": {"score": {"from": used, "how": how}}}
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


def _whole(folder: Path, ctx: Context) -> bool:
    """Whether the files that a finished job put out are there."""
    stored = json.loads((folder / contract.RESULT_FILE).read_bytes())["outputs"]
    return all((ctx.root / stored[name]).exists() for name in FILES if name in stored)


def _stop_ranks(folder: Path, ctx: Context) -> None:
    """End ranks that outlived the program that started them, where some may: a job of a cluster, a driver of Ray."""
    stored = atomic.read_object(folder / contract.JOB_FILE)
    if stored is None or not any(folder.rglob(PLACED_FILE)):
        return
    params = StopRanksJob(training=TrainJob.model_validate(stored["params"]), folder=str(folder))
    job.run("train", params.model_dump(mode="json"), folder / "stop-ranks", ctx)
