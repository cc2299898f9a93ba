"""The kind behind `batch_predictions`: a model over all rows of a dataset, once for each content of both."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from mlctl.files import atomic
from mlctl.launch import inputs, job
from mlctl.launch.job import JobState
from mlctl.processes import leftover, worker
from mlctl.provider import Condition, Context, Desired, Family, Input, Observed, Outcome, Spec, diff_fields
from mlctl.providers.batch.publication import publish, shows, withdraw
from mlctl.providers.batch.rules import (
    engine_problems,
    generate_unused,
    model_problems,
    needs_generate,
    output_problems,
    views_differ,
)
from mlctl.providers.batch.spec import BatchSpec, GenerateSpec, VllmEngine
from mlctl.types import job as contract
from mlctl.types.address import Address
from mlctl.types.change import FieldChange, FieldClass
from mlctl.types.diagnostic import Diagnostic, MlctlError
from mlctl.types.environments import environment_python
from mlctl.types.jobs import batch as jobs
from mlctl.types.jobs.batch import MANIFEST_FILE, PARTS, BatchJob
from mlctl.types.jobs.profile import dataset_digest
from mlctl.types.jobs.used_model import UsedModel, label
from mlctl.types.state import Record
from mlctl.types.value import Json

_ENGINE_SECONDS = 10.0


class BatchPredictions:
    """Parts are made once; the folder that shows them is looked at, and put right, whenever the batch is asked for again."""

    section: ClassVar[str] = "batch_predictions"
    family: ClassVar[Family] = Family.BUILD
    spec: ClassVar[type[Spec]] = BatchSpec
    identity: ClassVar[frozenset[str]] = frozenset()
    field_class: ClassVar[FieldClass] = FieldClass.EVALUATION
    settings: ClassVar[frozenset[str]] = frozenset()

    def check(self, spec: BatchSpec, ctx: Context) -> Sequence[Diagnostic]:
        """What is wrong with a block alone."""
        found = list(engine_problems(spec))
        if spec.generate is not None and spec.executor.type == "ray":
            found.append(
                Diagnostic(
                    "batch.ray-language-model",
                    "`executor: ray` is for models of rows",
                    "an engine of language models fills a machine by itself",
                    "remove `executor`",
                    path=("executor",),
                )
            )
        return found

    def check_together(
        self, specs: Mapping[Address, Any], uses: Mapping[Address, Collection[Address]], ctx: Context
    ) -> Iterable[tuple[Address, Diagnostic]]:
        """The views are those of the model, and a folder shows one batch."""
        mine = {address: spec for address, spec in specs.items() if address.section == self.section}
        return [*output_problems(mine), *model_problems(mine, specs, uses)]

    def read(self, prior: Record, ctx: Context) -> Observed | None:
        """Whether every part is there, as long as it was, and the folder shows them."""
        folder = ctx.folder(prior.key)
        if not prior.complete:
            state = job.state(folder)
            if state is JobState.RUNNING:
                return Observed(condition=Condition.RUNNING, detail="predicting")
            made = len(list((folder / PARTS).glob("part-*.parquet")))
            return Observed(condition=Condition.RESUMABLE, detail=f"{made:,} parts are made") if made else None
        manifest = atomic.read_object(folder / PARTS / MANIFEST_FILE)
        if manifest is None:
            return None
        gone = _gone(folder, manifest)
        if gone:
            return Observed(condition=Condition.BROKEN, detail=f"`{gone}` is gone, or was changed")
        output = prior.spec.get("output")
        if output is not None and not shows(output, folder / PARTS, ctx):
            return Observed(condition=Condition.BROKEN, detail=f"`{output}` does not show these predictions")
        return Observed()

    def diff(self, desired: Desired, prior: Record, seen: Observed) -> Sequence[FieldChange]:
        """Leaf by leaf; model, data and snapshots come in as inputs."""
        return diff_fields(desired, prior, seen)

    def apply(self, desired: Desired, prior: Record | None, ctx: Context) -> Outcome:
        """Predict, or go on with it, or take what is there; then let the folder show it."""
        folder, address = ctx.folder(desired.key), str(desired.address)
        wanted = batch_job(desired, ctx)
        if job.state(folder) is JobState.DONE and not _whole(folder):
            (folder / contract.RESULT_FILE).unlink(missing_ok=True)  # parts are gone: those are made again
        fresh = job.state(folder) is not JobState.DONE
        result = job.run("batch", wanted.model_dump(mode="json"), folder, ctx, detachable=True)
        if fresh and (problem := _changed(desired.input("datasets", desired.spec.dataset), ctx)) is not None:
            job.discard(folder)  # predictions of other rows must not pass for those of these
            raise problem
        outputs: dict[str, Json] = dict(result.outputs)
        if desired.spec.output is not None:
            publish(desired.spec.output, folder / PARTS, ctx, address)
            outputs["output"] = desired.spec.output
        return Outcome(desired.key.identity, outputs)

    def delete(self, prior: Record, ctx: Context) -> None:
        """Stop it if it runs, with its engine; take the link away if it shows this batch; remove the parts."""
        folder = ctx.folder(prior.key)
        worker.stop(folder, job.STOP_GRACE_SECONDS)
        leftover.end(folder, _ENGINE_SECONDS)  # the engine of a program that was killed
        output = prior.spec.get("output")
        if output is not None:
            withdraw(output, folder / PARTS, ctx)
        job.discard(folder)

    def log(self, prior: Record, ctx: Context) -> Path | None:
        """The log of the program."""
        path = ctx.folder(prior.key) / contract.LOG_FILE
        return path if path.exists() else None

    def describe(self, prior: Record) -> str:
        """How many rows, by which model."""
        outputs = prior.outputs
        rows, model, version = (outputs.get(name) for name in ("rows", "model", "version"))
        if rows is None or not (model and version):
            return ""
        without = [
            f"{outputs[name]:,} {text}"
            for name, text in (("unknown_keys", "of unknown keys"), ("failed", "without an answer"))
            if outputs.get(name)
        ]
        return "  ".join([f"{rows:,} rows", label(str(model), str(version)), *without])


def batch_job(desired: Desired, ctx: Context) -> BatchJob:
    """The parameters of the worker program. Raises MlctlError."""
    spec: BatchSpec = desired.spec
    return BatchJob(
        model=_model(desired, ctx),
        dataset=inputs.rows_of(desired, "batch.remote-dataset", "a batch reads files"),
        where=spec.where,
        columns=spec.columns,
        rows_per_part=spec.rows_per_part,
        generation=None if spec.generate is None else _generation(spec.generate, ctx),
        executor=_executor(spec),
    )


def _model(desired: Desired, ctx: Context) -> UsedModel:
    spec: BatchSpec = desired.spec
    model = inputs.model_of(desired)
    if model.is_language_model and spec.generate is None:
        raise MlctlError([needs_generate(spec.model)])
    if not model.is_language_model and spec.generate is not None:
        raise MlctlError([generate_unused(spec.model)])
    inputs.check_there(model, desired, ctx)
    return inputs.with_snapshots(
        model, desired, spec.features, lambda reads, named: views_differ(spec.model, reads, named)
    )


def _generation(spec: GenerateSpec, ctx: Context) -> jobs.Generation:
    asked, engine = spec.model_dump(include={"prompt", "messages", "max_new_tokens", "temperature"}), spec.engine
    if not isinstance(engine, VllmEngine):
        return jobs.Generation(**asked, engine=jobs.TransformersEngine())
    python = str(environment_python("vllm")) if engine.python is None else engine.python
    options = [] if engine.max_model_len is None else ["--max-model-len", str(engine.max_model_len)]
    environment = {"HF_HUB_OFFLINE": "1", "VLLM_CPU_KVCACHE_SPACE": str(engine.kv_cache_gib)}
    environment["VLLM_CACHE_ROOT"] = str(ctx.home / "vllm-cache")
    return jobs.Generation(**asked, engine=jobs.VllmEngine(python=python, options=options, environment=environment))


def _executor(spec: BatchSpec) -> jobs.LocalBatch | jobs.RayBatch:
    if spec.executor.type == "local":
        return jobs.LocalBatch()
    return jobs.RayBatch(**spec.executor.model_dump(exclude={"type"}))


def _whole(folder: Path) -> bool:
    manifest = atomic.read_object(folder / PARTS / MANIFEST_FILE)
    return manifest is not None and not _gone(folder, manifest)


def _gone(folder: Path, manifest: Mapping[str, Any]) -> str:
    """The first part that is not there, or not as long as it was."""
    for item in manifest["files"]:
        try:
            same = (folder / PARTS / item["name"]).stat().st_size == item["bytes"]
        except OSError:
            same = False
        if not same:
            return str(item["name"])
    return ""


def _changed(dataset: Input, ctx: Context) -> MlctlError | None:
    """An error when the files are not what the dataset's profile was made of."""
    try:
        contents = [ctx.digests.file(ctx.root / file) for file in dataset.outputs["files"]]
        if dataset_digest(dataset.outputs, contents) == dataset.digest:
            return None
        why = "something else writes to it"
    except OSError as error:
        why = str(error)
    return MlctlError.of(
        "data.changed-while-reading",
        f"a file of {dataset.key.address} changed after it was profiled",
        why,
        "run `mlctl apply` again when it is done",
    )
